"""Training and validation split: official splits, or whole products held out at random."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from dmlcli import progress
from dmlcli.catalog.catalog import VALIDATION_SPLITS, Catalog
from dmlcli.errors import CatalogError

_SMALLEST_HOLD_OUT = 4  # products; with fewer, a validation score says nothing


@dataclass(frozen=True)
class TrainingSplit:
    """Rows of a catalog to fit on and rows to validate with; the same rows twice mean leave-one-out."""

    fit: list[int]
    queries: list[int]
    gallery: list[int]
    held_out: list[str]  # products that are not fitted on
    how: str


def split_for_training(catalog: Catalog, seed: int, share: float = 0.2) -> TrainingSplit:
    """Choose the images to fit on and to validate with; splits named test, query or gallery are never used.

    With a split column, fit on `train` and search `val` in it, or within itself if its products are not in `train`.
    Without one, hold out whole products and search among their images. Products that share a source (a session, a
    series of shots) are held out together.

    Args:
        catalog: the catalog.
        seed: seed of the random choice of products.
        share: share of the products with two or more images to hold out.

    Raises:
        CatalogError: fewer than two products to fit on.
    """
    by_split = defaultdict(list)
    for row, item in enumerate(catalog.items):
        if item.product:
            by_split[item.split].append(row)
    named = set(by_split) - {""}
    rows = by_split["train"] if named else by_split[""]
    validation = [row for name in VALIDATION_SPLITS for row in by_split[name]] if named else []
    split = _with_validation(catalog, rows, validation) if validation else _hold_out(catalog, rows, seed, share)
    if len({catalog.items[row].product for row in split.fit}) < 2:
        raise CatalogError(
            "training needs images of at least two products",
            hint="put each product's images into its own folder, or specify the column with --product-column",
        )
    return split


def split_for_comparison(catalog: Catalog, seed: int) -> TrainingSplit:
    """Fit on half of the products, search among the other half: by split `val` in `train`, else leave-one-out.

    Raises:
        CatalogError: one half would have fewer than two products.
    """
    training = split_for_training(catalog, seed)
    fit = {*training.fit, *(row for row in training.queries if not training.held_out)}
    rows = sorted({*fit, *training.queries, *training.gallery})
    counts = Counter(catalog.items[row].product for row in rows)
    several = sorted(product for product, count in counts.items() if count > 1)
    unseen = set(_draw(catalog, rows, several, len(several) // 2, seed))
    if min(len(unseen), len(counts) - len(unseen)) < 2:
        raise CatalogError(
            "compare needs at least four products with two images each", hint="dmlcli train works with fewer products"
        )
    queries = [row for row in rows if catalog.items[row].product in unseen]
    gallery = queries
    if any(catalog.items[row].split in VALIDATION_SPLITS for row in queries):
        gallery = [row for row in queries if catalog.items[row].split not in VALIDATION_SPLITS]
        queries = [row for row in queries if catalog.items[row].split in VALIDATION_SPLITS]
    seen = [row for row in rows if catalog.items[row].product not in unseen and row in fit]
    how = "leave-one-out" if queries is gallery else f"{len(queries)} images of split val searched in {len(gallery)}"
    return TrainingSplit(seen, queries, gallery, sorted(unseen), f"{how} among {len(unseen)} unseen products")


def _with_validation(catalog: Catalog, rows: list[int], validation: list[int]) -> TrainingSplit:
    fitted = {catalog.items[row].product for row in rows}
    known = [row for row in validation if catalog.items[row].product in fitted]
    if len(known) * 2 > len(validation):
        return TrainingSplit(rows, known, rows, [], f"{len(known)} images of split val searched among split train")
    unseen = [row for row in validation if catalog.items[row].product not in fitted]
    held_out = sorted({catalog.items[row].product for row in unseen})
    return TrainingSplit(
        rows, unseen, unseen, held_out, f"leave-one-out among {len(held_out)} unseen products of split val"
    )


def _hold_out(catalog: Catalog, rows: list[int], seed: int, share: float) -> TrainingSplit:
    counts = Counter(catalog.items[row].product for row in rows)
    several = sorted(product for product, count in counts.items() if count > 1)
    number = round(share * len(several))
    if number < _SMALLEST_HOLD_OUT:
        return TrainingSplit(rows, [], [], [], f"none: only {len(several)} products have two or more images")
    held_out = _draw(catalog, rows, several, number, seed)
    chosen = set(held_out)
    number = len(chosen)
    fit = [row for row in rows if catalog.items[row].product not in chosen]
    queries = [row for row in rows if catalog.items[row].product in chosen]
    return TrainingSplit(fit, queries, queries, held_out, f"leave-one-out among {number} held-out products")


def _draw(catalog: Catalog, rows: list[int], several: list[str], number: int, seed: int) -> list[str]:
    """Return about `number` of the products in `several`, sorted; all that share a source are drawn, or none of them.

    If sources connect nearly all products, as cameras do, they are ignored, because nothing could be held out.
    """
    rng = random.Random(seed)
    groups = _tied_by_source(catalog, rows)
    if len(groups) == len({catalog.items[row].product for row in rows}):
        return sorted(rng.sample(several, number))
    wanted = set(several)
    drawn: list[str] = []
    for group in rng.sample(groups, len(groups)):
        candidates = [product for product in group if product in wanted]
        if len(drawn) + len(candidates) <= number:
            drawn += group if candidates else []
    if len(wanted.intersection(drawn)) >= min(number, _SMALLEST_HOLD_OUT):
        return sorted(drawn)
    progress.warn(
        "sources connect too many products to hold out whole sources, as cameras do; products are held out "
        "individually, so images of one source may be on both sides"
    )
    return sorted(rng.sample(several, number))


def _tied_by_source(catalog: Catalog, rows: list[int]) -> list[list[str]]:
    """Return the products in groups, sorted: two are in one group where images of both come from the same source."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    first_of: dict[str, str] = {}
    for row in rows:
        item = catalog.items[row]
        product = find(item.product)
        if item.source:
            leader[find(first_of.setdefault(item.source, item.product))] = product
    groups = defaultdict(list)
    for product in sorted(leader):
        groups[find(product)].append(product)
    return list(groups.values())
