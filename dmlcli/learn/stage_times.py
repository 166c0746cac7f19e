"""The stages of a training run, with the seconds that each is expected to take before anything is measured.

The figures are those of the default backbone on two cores, as run.json keeps them of each run (`result`, `stages`).
They only weight the stages: progress corrects them as soon as the first stages have taken longer or shorter.
`train --dry-run` measures instead.
"""

from dmlcli.learn.recipe import Recipe

_LOAD = 8.0  # torch, weights, and the graph of the frozen backbone
_PHOTO = 0.012  # a photo through the backbone, one view
_FOLDS, _FOLDS_PHOTO = 8.0, 4e-3  # all folds, and for each photo
_HEAD, _HEAD_PHOTO = 3.0, 2e-5  # the head, and for each photo of an epoch
_TOP, _ALL = 0.02, 0.05  # a photo in an epoch of the last stage, and of the whole network
_AGAIN = 1.5  # times the fold's epochs: the same on all photos
_EXPORT = 3.0
_INDEX = 1.0


def expected(images: int, recipe: Recipe, *, index: bool, budget: float | None = None) -> dict[str, float]:
    """Return the stages of a run in their order, with the seconds that each is expected to take.

    Args:
        images: number of images.
        recipe: all settings.
        index: whether the catalog is indexed.
        budget: seconds that the run may take; None: as many as it needs.
    """
    last = {"index": _INDEX + (images * _PHOTO if recipe.tune in ("none", "top", "all") else 0.0)} if index else {}
    if recipe.tune == "none":
        return {"load": _LOAD, "export": _EXPORT} | last
    first = {
        "load": _LOAD,
        "features": max(1, recipe.views) * images * _PHOTO,
        "folds": _FOLDS + images * _FOLDS_PHOTO,
        "head": _HEAD + images * recipe.epochs * _HEAD_PHOTO,
    }
    final = {"final fit": first["folds"], "export": _EXPORT} | last
    rest = sum(first.values()) + sum(final.values())
    deep = 0.0
    if recipe.tune in ("top", "all"):
        deep = recipe.epochs * images * (_TOP if recipe.tune == "top" else _ALL)
    if budget is not None and recipe.tune != "head":
        longest = max(0.0, budget - rest) / (1 + _AGAIN)
        deep = min(longest, deep or longest)
    final["final fit"] += _AGAIN * deep
    asked = deep > 0 or (budget is not None and recipe.tune != "head")
    return first | ({"fine-tuning": deep} if asked else {}) | final
