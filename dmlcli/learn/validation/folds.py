"""Cross-validation: which images each fold is fitted on, and which searches score it. No torch in here.

Images that were fitted on are not scored. Each fold holds out whole products, to measure search for products that were
never trained on (unseen products), and photos of the other products, to measure search for trained products (seen
products).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from dmlcli.catalog import VALIDATION_SPLITS, Item, TrainingSplit

PURPOSES = ("seen", "unseen", "both")
_FOLDS = 3
_LEAST_PRODUCTS = 4  # in a search; with fewer, scores are not meaningful
_LEAST_IMAGES = 4  # of a product, for one of them to be held out
_MOST_QUERIES = 400  # of a search, to limit the time


@dataclass(frozen=True)
class Search:
    """The rows of queries and gallery, both ascending; a row in both does not count as a hit of itself."""

    queries: list[int]
    gallery: list[int]


@dataclass(frozen=True)
class ValidationSplit:
    """Rows to fit on, and the searches that are scored: by name, `seen` and `unseen` products, one of them or both."""

    fit: list[int]
    searches: dict[str, Search] = field(default_factory=dict)


def final_fit_rows(items: Sequence[Item], split: TrainingSplit) -> list[int]:
    """Return the rows that the final model is fitted on: what the folds held out is included."""
    held_out = [row for row in split.queries if split.held_out and items[row].split not in VALIDATION_SPLITS]
    return sorted({*split.fit, *held_out})


def validation_splits(items: Sequence[Item], split: TrainingSplit, purpose: str, seed: int) -> list[ValidationSplit]:
    """Return the folds of a training run, none where too little can be held out.

    Args:
        items: the images; the rows of `split` are their positions.
        split: rows to fit on, and rows to validate with.
        purpose: which products will be searched for: `seen`, `unseen` or `both`.
        seed: of the folds.
    """
    fit = final_fit_rows(items, split)
    given = sorted({*split.queries} - {*fit})  # photos that are never fitted on
    counts = Counter(items[row].product for row in fit)
    several = sorted(product for product, count in counts.items() if count > 1)
    random.Random(seed).shuffle(several)
    if purpose == "seen" or (given and split.held_out) or len(several) < 2 * _LEAST_PRODUCTS:
        folds: list[set[str]] = [set()]
    else:
        number = min(_FOLDS, len(several) // _LEAST_PRODUCTS)
        folds = [set(several[start::number]) for start in range(number)]
    made = [_validation_split(items, fit, given, unseen, purpose) for unseen in folds]
    return [validation_split for validation_split in made if validation_split.searches]


def half_split(items: Sequence[Item], split: TrainingSplit) -> ValidationSplit:
    """Return the one fold by which losses are compared: `split` says which half of the products is unseen."""
    given = [row for row in split.fit if items[row].split in VALIDATION_SPLITS]
    made = _validation_split(items, sorted({*split.fit} - {*given}), given, set(), "seen")
    return ValidationSplit(made.fit, made.searches | {"unseen": _few(split.queries, split.gallery)})


def describe(validation_splits: Sequence[ValidationSplit], items: Sequence[Item]) -> str:
    """Return a summary of the held-out images, in plain words."""
    if not validation_splits:
        return "none: too few products have two images or more"
    parts = []
    for name, search in validation_splits[0].searches.items():
        products = len({items[row].product for row in search.queries})
        parts.append(f"{len(search.queries)} images of {products} {name} products")
    folds = f"{len(validation_splits)} folds, each with " if len(validation_splits) > 1 else ""
    return folds + " and ".join(parts)


def _validation_split(
    items: Sequence[Item], fit: Sequence[int], given: Sequence[int], unseen: set[str], purpose: str
) -> ValidationSplit:
    """Fit on all but the products `unseen`, which are scored, as are the images `given`."""
    kept = [row for row in fit if items[row].product not in unseen]
    fitted = {items[row].product for row in kept}
    searches = {}
    if purpose != "unseen":
        queries = [row for row in given if items[row].product in fitted] or _hold_out_images(items, kept)
        kept = sorted({*kept} - {*queries})
        if _enough(items, queries):
            searches["seen"] = _few(queries, kept)
    if purpose != "seen":
        own = [row for row in given if items[row].product not in fitted]
        held_out = [row for row in fit if items[row].product in unseen]
        if held_out and _enough(items, own):
            searches["unseen"] = _few(own, held_out)
        elif (asking := _of_one_source(items, held_out)) and _enough(items, asking):
            searches["unseen"] = _few(asking, sorted({*held_out} - {*asking}))
        elif _enough(items, held_out or own):
            searches["unseen"] = _few(held_out or own, held_out or own)
    return ValidationSplit(kept, searches)


def _enough(items: Sequence[Item], rows: Sequence[int]) -> bool:
    return len({items[row].product for row in rows}) >= _LEAST_PRODUCTS


def _few(queries: Sequence[int], gallery: Sequence[int]) -> Search:
    """Return a search with no more queries than it takes: every second, third, … of them."""
    return Search(list(queries[:: -(-len(queries) // _MOST_QUERIES)]), list(gallery))


def _hold_out_images(items: Sequence[Item], rows: Sequence[int]) -> list[int]:
    """Photos to hold out: of one source where products have several, else the last quarter of each product's images.

    Images of a series are similar and lie side by side, so holding out every fourth would score near-copies. Where
    products have few sources or images, they are held out of every second product only: the others train on theirs.
    """
    if _enough(items, asking := _of_one_source(items, rows)):
        every_second = {*sorted({items[row].product for row in asking})[::2]}
        some = [row for row in asking if items[row].product in every_second]
        return some if _enough(items, some) else asking
    own = _by_product(items, rows)
    several = [images for images in own.values() if len(images) >= _LEAST_IMAGES]
    if len(several) < _LEAST_PRODUCTS:
        several = [images for images in own.values() if len(images) > 1][::2]
    return sorted(row for images in several for row in images[-max(1, len(images) // 4) :])


def _of_one_source(items: Sequence[Item], rows: Sequence[int]) -> list[int]:
    """Of each product with several sources the images of one: of the last for two products, of the first for two."""
    found, number = [], 0
    for _, images in sorted(_by_product(items, rows).items()):
        sources = sorted({items[row].source for row in images})
        if len(sources) > 1:
            chosen = sources[0 if number % 4 > 1 else -1]
            number += 1
            found += [row for row in images if items[row].source == chosen]
    return sorted(found)


def _by_product(items: Sequence[Item], rows: Sequence[int]) -> dict[str, list[int]]:
    own = defaultdict(list)
    for row in rows:
        own[items[row].product].append(row)
    return own
