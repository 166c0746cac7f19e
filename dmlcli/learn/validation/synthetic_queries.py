"""Queries from augmented views, for catalogs in which no second photo of a product can be held out.

With one image of each product no real query can be held out. Instead each image is also seen in three families of
views: near, dim and askew. In each of three folds one family is left out of the fit, and its views are the queries,
searched among the plain images, for seen and unseen products. The scores show whether training does harm; they do not
predict those of real photos.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn import functional as F

from dmlcli.catalog import Catalog, TrainingSplit
from dmlcli.learn.data import augmentation
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.validation.folds import Search, validation_splits
from dmlcli.learn.validation.scoring import Searches
from dmlcli.learn.validation.training_data import Fold, TrainingData, ValidationPart

_LEAST_PRODUCTS = 4  # with fewer, a score says nothing
_MOST_QUERIES = 400  # of a search

SUMMARY = (
    "synthetic queries (near, dim and askew), as no second photo of a product can be held out: real ones may do worse"
)


def is_needed(photos: Catalog, split: TrainingSplit, recipe: Recipe) -> bool:
    """Return whether nothing real can be held out, though there are enough products for a score.

    False where the backbone is trained too: it would overfit to the augmented views, so their score would be too high.

    Args:
        photos: the readable ones.
        split: of their rows.
        recipe: all settings.
    """
    items = photos.items
    products = {items[row].product for row in split.fit}
    head_only = recipe.tune in ("head", "auto") and len(products) >= _LEAST_PRODUCTS
    return head_only and not validation_splits(items, split, recipe.purpose, recipe.seed)


def folds(data: TrainingData, recipe: Recipe) -> list[Fold]:
    """Return one fold for each family of views, which holds out the family and a third of the products."""
    rows = data.split.fit
    names = sorted({data.photos.items[row].product for row in rows})
    random.Random(recipe.seed).shuffle(names)
    families = [name for name in data.view_names if name.startswith(tuple(augmentation.FAMILIES))]
    made = []
    for turn, family in enumerate(families):
        unseen = {*names[turn :: len(families)]} if recipe.purpose != "seen" else set()
        made.append(_fold(data, rows, unseen, data.view_names.index(family), recipe))
    return made


def _fold(data: TrainingData, rows: Sequence[int], unseen: set[str], family: int, recipe: Recipe) -> Fold:
    """Fit on all views but one family, and on all products but the unseen ones; search with the family."""
    items, count = data.photos.items, len(data.photos.items)
    kept = [row for row in rows if items[row].product not in unseen]
    step = -(-len(rows) // _MOST_QUERIES)
    queries = {
        "seen": [row for row in kept if items[row].product],
        "unseen": [row for row in rows if row not in {*kept}],
    }
    named = {
        name: Search([count + row for row in found[::step]], list(rows))
        for name, found in queries.items()
        if found and recipe.purpose in (name, "both")
    }
    searches = Searches([item.product for item in items] * 2, named)
    views, width = data.views[family], data.baseline.shape[1]
    seen = torch.cat([data.search_features, views])  # (2N, F)
    plain = torch.cat([data.baseline, F.normalize(views[:, :width], dim=-1)])
    validation = ValidationPart(searches, seen[searches.rows], [], plain[searches.rows])
    whole, shown = data.fold(kept, {}), [number for number in range(len(data.views)) if number != family]
    return Fold(replace(whole.train, features=whole.train.features[shown]), validation, data.maps)
