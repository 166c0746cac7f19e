"""Which images training fits on, and which only validate."""

from collections import defaultdict
from dataclasses import dataclass

from dmlcli.catalog.catalog import VALIDATION_SPLITS, Catalog
from dmlcli.errors import CatalogError


@dataclass(frozen=True)
class TrainingSplit:
    """Rows of a catalog that the final model is fitted on, and rows that only validate, both ascending."""

    fit: list[int]
    validation: list[int]


def split_for_training(catalog: Catalog) -> TrainingSplit:
    """Fit on split `train` and validate with split `val`; without a split column, fit on all images of a product.

    Where `val` has photos of products of `train` and of others, the larger part validates. Splits named test, query or
    gallery are never used.

    Raises:
        CatalogError: fewer than two products to fit on.
    """
    by_split = defaultdict(list)
    for row, item in enumerate(catalog.items):
        if item.product:
            by_split[item.split].append(row)
    named = set(by_split) - {""}
    fit = by_split["train"] if named else by_split[""]
    fitted = {catalog.items[row].product for row in fit}
    if len(fitted) < 2:
        raise CatalogError(
            "training needs images of at least two products",
            hint="put each product's images into its own folder, or specify the column with --product-column",
        )
    validation = sorted(row for name in VALIDATION_SPLITS for row in by_split[name]) if named else []
    known = [row for row in validation if catalog.items[row].product in fitted]
    unseen = [row for row in validation if catalog.items[row].product not in fitted]
    return TrainingSplit(fit, known if len(known) > len(unseen) else unseen)
