"""dmlcli doctor: check a catalog."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog
    from dmlcli.report.doctor import DoctorReport, Problem


def doctor(
    catalog: options.CatalogPath,
    *,
    split: options.Split = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    root: options.Root = None,
) -> "DoctorReport":
    """Check a catalog: broken photos, duplicates, leaks between splits, series of shots.

    Exit 1 where there is a problem, 0 where there is none; notices (a transparent PNG, a product with one photo) count
    for nothing. Every photo is opened, also those of the test split: nothing is learned from them.

    Examples:

        dmlcli doctor ./catalog

        dmlcli doctor photos.csv --format jsonl | jq -r 'select(.problem == "duplicate") | .path'
    """
    from dmlcli.catalog import Columns, open_catalog
    from dmlcli.checks import product_counts
    from dmlcli.report.doctor import DoctorReport

    columns = Columns(image_column, product_column, category_column, split_column, source_column)
    photos = open_catalog(Path(catalog), columns, root).only(split)
    return DoctorReport(str(catalog), str(photos.root), product_counts.census(photos), _examine(photos))


def _examine(photos: "Catalog") -> Iterator["Problem"]:
    from dmlcli.checks import duplicates, image_files, product_counts, series
    from dmlcli.checks.scan import Scan, scan

    yield from (
        image_files.unreadable(str(Path(skipped.path).absolute()), skipped.reason) for skipped in photos.skipped
    )
    scanned = Scan(len(photos.items))
    for shot in scan(photos, scanned):
        yield from image_files.problems(shot)
    yield from duplicates.problems(photos, scanned)
    yield from series.problems(photos, scanned)
    yield from product_counts.problems(photos)
