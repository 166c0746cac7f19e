"""Where no second photo can be held out, photos are imitated: what is learned is judged by views it has not been shown.

With one image of each product there is nothing real to search with. So each image is also seen near, dim and askew, and
in each of three rehearsals one of these families is kept from the fit: its views are searched among the images as they
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
from dmlcli.learn.validation.folds import Search, fitted_in_the_end, rehearsals
from dmlcli.learn.validation.scoring import Validation
from dmlcli.learn.validation.training_data import Lesson, Material

_LEAST_PRODUCTS = 4  # with fewer, a score says nothing
_MOST_QUERIES = 400  # of a search

HOW = "imitated photos, near, dim and askew, as no second photo of a product can be held out: real ones may do worse"


def is_needed(photos: Catalog, split: TrainingSplit, recipe: Recipe) -> bool:
    """Whether nothing real can be held out, of products enough for a score.

    Whoever asks for a deeper training gets it unjudged: a backbone that was shown imitations would learn them by heart.
    """
    items = photos.items
    products = {items[row].product for row in fitted_in_the_end(items, split)}
    judged = recipe.tune in ("head", "auto") and len(products) >= _LEAST_PRODUCTS
    return judged and not rehearsals(items, split, recipe.purpose, recipe.seed)


def lessons(material: Material, recipe: Recipe) -> list[Lesson]:
    """A lesson for each family of views, and a third of the products, that it is kept from."""
    rows = fitted_in_the_end(material.photos.items, material.split)
    names = sorted({material.photos.items[row].product for row in rows})
    random.Random(recipe.seed).shuffle(names)
    families = [name for name in material.names if name.startswith(tuple(augmentation.FAMILIES))]
    made = []
    for turn, family in enumerate(families):
        new = {*names[turn :: len(families)]} if recipe.purpose != "known" else set()
        made.append(_lesson(material, rows, new, material.names.index(family), recipe))
    return made


def _lesson(material: Material, rows: Sequence[int], new: set[str], family: int, recipe: Recipe) -> Lesson:
    """Fit on all views but one family, and on all products but those that are new; search with the family."""
    items, count = material.photos.items, len(material.photos.items)
    kept = [row for row in rows if items[row].product not in new]
    step = -(-len(rows) // _MOST_QUERIES)
    asked = {"known": [row for row in kept if items[row].product], "new": [row for row in rows if row not in {*kept}]}
    searches = {
        name: Search([count + row for row in queries[::step]], list(rows))
        for name, queries in asked.items()
        if queries and name in (recipe.purpose, *(("known", "new") if recipe.purpose == "both" else ()))
    }
    whole = material.lesson(kept, {})
    validation = Validation([item.product for item in items] * 2, searches)
    imitated, width = material.views[family], material.baseline.shape[1]
    shown = [number for number in range(len(material.views)) if number != family]
    seen = torch.cat([material.seen, imitated])  # (2N, F)
    plain = torch.cat([material.baseline, F.normalize(imitated[:, :width], dim=-1)])
    return Lesson(
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
