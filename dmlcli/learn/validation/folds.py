"""Cross-validation: which images each fold is fitted on, and which searches score it. No torch in here.

Images that were fitted on are not scored. Each fold holds out whole products, to measure search for products that were
never trained on (unseen products), and photos of the other products, to measure search for trained products (seen
products). The final model is fitted on the images of all folds.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from dmlcli.catalog import Item, TrainingSplit
from dmlcli.errors import CatalogError
from dmlcli.learn.validation import product_groups

PURPOSES = ("seen", "unseen", "both")
_FOLDS = 3
_LEAST_PRODUCTS = 4  # in a search; with fewer, scores are not meaningful
_LEAST_TO_COMPARE = 2  # in a search of `compare`, whose intervals show how little few products say
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


def validation_splits(items: Sequence[Item], split: TrainingSplit, purpose: str, seed: int) -> list[ValidationSplit]:
    """Return the folds of a training run, none where too little can be held out.

    Args:
        items: the images; the rows of `split` are their positions.
        split: rows to fit on, and rows to validate with.
        purpose: which products will be searched for: `seen`, `unseen` or `both`.
        seed: of the folds.
    """
    number = min(_FOLDS, _count_products_with_several_images(items, split.fit) // _LEAST_PRODUCTS)
    if purpose == "seen" or number < 2 or _names_unseen_products(items, split):
        folds: list[set[str]] = [set()]
    else:
        folds = product_groups.folds(items, split.fit, number, _LEAST_PRODUCTS, seed)
    made = [_validation_split(items, split, unseen, purpose) for unseen in folds]
    return [validation_split for validation_split in made if validation_split.searches]


def half_split(items: Sequence[Item], split: TrainingSplit, seed: int) -> ValidationSplit:
    """Return the one fold by which losses are compared: half of the products are unseen, or those of split `val`.

    Args:
        items: the images; the rows of `split` are their positions.
        split: rows to fit on, and rows to validate with.
        seed: of the half.

    Raises:
        CatalogError: too few products.
    """
    if _count_products_with_several_images(items, split.fit) < 2 * _LEAST_TO_COMPARE:
        raise CatalogError(
            "compare needs at least four products with two images each", hint="dmlcli train works with fewer products"
        )
    named = _names_unseen_products(items, split)
    unseen = set() if named else product_groups.half(items, split.fit, _LEAST_PRODUCTS, seed)
    return _validation_split(items, split, unseen, "both", _LEAST_TO_COMPARE)


def describe(validation_splits: Sequence[ValidationSplit], items: Sequence[Item]) -> str:
    """Return a summary of the held-out images, in plain words."""
    if not validation_splits:
        return "none: too few products have two images or more"
    parts = []
    for name, search in validation_splits[0].searches.items():
        products = len({items[row].product for row in search.queries})
        parts.append(f"{len(search.queries)} images of {products} {name} products")
    folds = f"{len(validation_splits)} folds, each with " if len(validation_splits) > 1 else ""
    shared = any(_share_sources(items, one) for one in validation_splits)
    return folds + " and ".join(parts) + ("; images of one source are on both sides" if shared else "")


def _names_unseen_products(items: Sequence[Item], split: TrainingSplit) -> bool:
    """Return whether the images that only validate show products that are not fitted on."""
    fitted = {items[row].product for row in split.fit}
    return any(items[row].product not in fitted for row in split.validation)


def _count_products_with_several_images(items: Sequence[Item], rows: Sequence[int]) -> int:
    return sum(count > 1 for count in Counter(items[row].product for row in rows).values())


def _share_sources(items: Sequence[Item], split: ValidationSplit) -> bool:
    """Return whether images of unseen products come from a source that was fitted on."""
    fitted = {items[row].source for row in split.fit} - {""}
    unseen = split.searches.get("unseen", Search([], []))
    return not fitted.isdisjoint(items[row].source for row in (*unseen.queries, *unseen.gallery))


def _validation_split(
    items: Sequence[Item], split: TrainingSplit, unseen: set[str], purpose: str, least: int = _LEAST_PRODUCTS
) -> ValidationSplit:
    """Fit on all but the products `unseen`, which are scored, as are the images that only validate.

    Args:
        items: the images.
        split: rows to fit on, and rows to validate with.
        unseen: products.
        purpose: `seen`, `unseen` or `both`.
        least: products that a search must have.
    """
    fit, given = split.fit, split.validation
    kept = [row for row in fit if items[row].product not in unseen]
    fitted = {items[row].product for row in kept}
    searches = {}
    if purpose != "unseen":
        queries = [row for row in given if items[row].product in fitted] or _hold_out_images(items, kept)
        kept = sorted({*kept} - {*queries})
        if _enough(items, queries, least):
            searches["seen"] = _few(queries, kept)
    if purpose != "seen":
        own = [row for row in given if items[row].product not in fitted]
        held_out = [row for row in fit if items[row].product in unseen]
        if held_out and _enough(items, own, least):
            searches["unseen"] = _few(own, held_out)
        elif (asking := _of_one_source(items, held_out)) and _enough(items, asking, least):
            searches["unseen"] = _few(asking, sorted({*held_out} - {*asking}))
        elif _enough(items, held_out or own, least):
            searches["unseen"] = _few(held_out or own, held_out or own)
    return ValidationSplit(kept, searches)


def _enough(items: Sequence[Item], rows: Sequence[int], least: int = _LEAST_PRODUCTS) -> bool:
    return len({items[row].product for row in rows}) >= least


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
