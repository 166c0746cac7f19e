"""Where no second photo can be held out, synthetic queries are made: views that were not shown.

With one image of each product there is nothing real to search with. So each image is also seen near, dim and askew, and
in each of three folds one of these families is kept from the fit: its views are searched among the images as they
are, for products that were fitted on and for others. It tells whether learning does harm, and promises nothing of real
photos.
"""

import random
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from dmlcli.catalog import Catalog, TrainingSplit
from dmlcli.learn.data import augmentation
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.validation.folds import Search, final_fit_rows, validation_splits
from dmlcli.learn.validation.scoring import Validation
from dmlcli.learn.validation.training_data import Fold, TrainingData

_LEAST_PRODUCTS = 4  # with fewer, a score says nothing
_MOST_QUERIES = 400  # of a search

SUMMARY = (
    "synthetic queries (near, dim and askew), as no second photo of a product can be held out: real ones may do worse"
)


def is_needed(photos: Catalog, split: TrainingSplit, recipe: Recipe) -> bool:
    """Whether nothing real can be held out, of products enough for a score.

    Whoever asks for a deeper training gets it unjudged: a backbone that was shown imitations would learn them by heart.
    """
    items = photos.items
    products = {items[row].product for row in final_fit_rows(items, split)}
    scored = recipe.tune in ("head", "auto") and len(products) >= _LEAST_PRODUCTS
    return scored and not validation_splits(items, split, recipe.purpose, recipe.seed)


def folds(data: TrainingData, recipe: Recipe) -> list[Fold]:
    """A fold for each family of views, and a third of the products, that it is kept from."""
    rows = final_fit_rows(data.photos.items, data.split)
    names = sorted({data.photos.items[row].product for row in rows})
    random.Random(recipe.seed).shuffle(names)
    families = [name for name in data.names if name.startswith(tuple(augmentation.FAMILIES))]
    made = []
    for turn, family in enumerate(families):
        new = {*names[turn :: len(families)]} if recipe.purpose != "known" else set()
        made.append(_fold(data, rows, new, data.names.index(family), recipe))
    return made


def _fold(data: TrainingData, rows: Sequence[int], new: set[str], family: int, recipe: Recipe) -> Fold:
    """Fit on all views but one family, and on all products but those that are new; search with the family."""
    items, count = data.photos.items, len(data.photos.items)
    kept = [row for row in rows if items[row].product not in new]
    step = -(-len(rows) // _MOST_QUERIES)
    asked = {"known": [row for row in kept if items[row].product], "new": [row for row in rows if row not in {*kept}]}
    searches = {
        name: Search([count + row for row in queries[::step]], list(rows))
        for name, queries in asked.items()
        if queries and name in (recipe.purpose, *(("known", "new") if recipe.purpose == "both" else ()))
    }
    whole = data.fold(kept, {})
    validation = Validation([item.product for item in items] * 2, searches)
    needs_synthetic_queries, width = data.views[family], data.baseline.shape[1]
    shown = [number for number in range(len(data.views)) if number != family]
    seen = torch.cat([data.seen, needs_synthetic_queries])  # (2N, F)
    plain = torch.cat([data.baseline, F.normalize(needs_synthetic_queries[:, :width], dim=-1)])
    return Fold(
        features=whole.features[shown],
        labels=whole.labels,
        files=whole.files,
        categories=whole.categories,
        sources=whole.sources,
        validation=validation,
        validation_features=seen[validation.rows],
        validation_files=[],
        baseline=plain[validation.rows],
        rows=whole.rows,
    )
