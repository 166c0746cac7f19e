"""How well `dmlcli train` finds products it was trained on, and products it was not, on the grocery photos.

    python benchmarks/accuracy.py ../shared/data [--backbone mobilenet_v2 --weights FILE] [--workspace DIR]

Every choice is made by folds on the images that training may open; the images that score are looked at once, after
it. Seen products: photos of split test searched among split train, all 81 products. Unseen products: fitted on a random
half of them, the photos of the other half searched, five times; gains over the backbone as published are paired.
Catalog pictures: one clean picture of each product searched among the photos of the half not fitted on, and back;
with `--pictures` those of the other half are fitted on too, as a source of their own beside the photos.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from dmlcli import metrics
from dmlcli.catalog import OPEN_TO_TRAINING, Catalog, Columns, Item, TrainingSplit, open_catalog, split_for_training
from dmlcli.learn.networks import frozen
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import refit
from dmlcli.learn.training.candidate import lda_candidate
from dmlcli.learn.validation import training_data
from dmlcli.learn.validation.plan import make_plan
from dmlcli.model import DEFAULT_BACKBONE
from dmlcli.ranking import rankings
from dmlcli.workspace import make

FOLDS = 5
ACROSS = (("iconic", "natural"), ("natural", "iconic"))  # from catalog pictures to photos, and back
Vectors = NDArray[np.float32]
Scores = dict[str, NDArray[np.float64]]  # of each query, by metric


def main() -> None:
    """Print one line for each protocol."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--pooling")
    parser.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "dmlcli-accuracy")
    parser.add_argument("--for", dest="purpose", default="both", choices=["seen", "unseen", "both"])
    parser.add_argument("--pictures", action="store_true", help="fit on clean pictures too, and search by them alone")
    asked = parser.parse_args()
    recipe = Recipe(backbone=asked.backbone, weights=asked.weights, pooling=asked.pooling, purpose=asked.purpose)
    photos = _everything(asked.data)
    place = make(asked.workspace)
    device, backbone = torch.device("cpu"), frozen.open_backbone(recipe, place.frozen, photos)
    readable = training_data.read_photos(photos, backbone, place, device)
    data = training_data.gather(readable, _NOTHING, backbone, recipe, place, device=device)
    products = sorted({item.product for item in data.photos.items})
    if asked.pictures:
        return _unseen_products(data, recipe, products, ACROSS, pictures=True)

    started = time.perf_counter()
    embedded, head_params = _trained(data, recipe, set(products))
    seconds = time.perf_counter() - started
    pooled = data.search_features.numpy()  # what a search without training compares
    for name, vectors in (
        ("frozen", data.baseline.numpy()),
        ("pooled", pooled),
        (f"trained ({head_params}, {seconds:.0f} s)", embedded),
    ):
        scores = _search(data, vectors, "test", "train", set(products))
        print(f"seen products: {name}: {_reported(scores)}")
    _unseen_products(data, recipe, products, (("test", "train"), *ACROSS), pictures=False)


_NOTHING = TrainingSplit([], [])


def _everything(data: Path) -> Catalog:
    """All photos, test included, and the clean pictures as a split of their own."""
    columns = Columns(product="fine", category="coarse", split="source_split")
    photos = open_catalog(data / "grocery_images.csv", columns)
    pictures = [
        Item(f"grocery_iconic/{product}.jpg", product, "", "iconic")
        for product in sorted({item.product for item in photos.items})
    ]
    return Catalog(photos.root, [*photos.items, *pictures])


def _trained(
    data: training_data.TrainingData, recipe: Recipe, known: set[str], *, pictures: bool = False
) -> tuple[Vectors, str]:
    """What a head makes of all images that was fitted on the products `known`, and the setting that was chosen."""
    items = data.photos.items
    splits = {*OPEN_TO_TRAINING, *(("iconic",) if pictures else ())}
    rows = [row for row, item in enumerate(items) if item.product in known and item.split in splits]
    part = Catalog(data.photos.root, [_sourced(items[row]) if pictures else items[row] for row in rows])
    own = replace(data, photos=part, split=split_for_training(part), views=data.views[:, rows])
    plan = make_plan(own, recipe)
    head = refit.finish(own, plan, lda_candidate(plan), recipe, torch.device("cpu")).head
    with torch.no_grad():
        return head(data.search_features).numpy(), str(plan.head_params)


def _sourced(item: Item) -> Item:
    return item._replace(split="train", source="picture") if item.split == "iconic" else item._replace(source="photo")


def _unseen_products(
    data: training_data.TrainingData,
    recipe: Recipe,
    products: Sequence[str],
    protocols: Sequence[tuple[str, str]],
    *,
    pictures: bool,
) -> None:
    gains: dict[tuple[str, str], list[tuple[Scores, Scores, list[str]]]] = {protocol: [] for protocol in protocols}
    for fold in range(FOLDS):
        unseen = set(random.Random(fold).sample(products, len(products) // 2))
        embedded, head_params = _trained(data, recipe, set(products) - unseen, pictures=pictures)
        for protocol in protocols:
            features = data.baseline.numpy(), data.search_features.numpy(), embedded
            before, pooled, after = (_search(data, vectors, *protocol, unseen) for vectors in features)
            names = [data.photos.items[row].product for row in _rows(data, protocol[0], unseen)]
            gains[protocol].append((before, after, names))
            change = f"{_reported(before)} -> pooled {_reported(pooled)} -> {_reported(after)}  ({head_params})"
            print(f"unseen products, fold {fold}, {' -> '.join(protocol)}: {change}")
    for protocol, folds in gains.items():
        changes_shown = []
        for metric in ("recall@1", "map@r"):
            differences = np.concatenate([after[metric] - before[metric] for before, after, _ in folds])
            low, high = metrics.interval95(differences, [name for *_, names in folds for name in names]) or (0, 0)
            changes_shown.append(
                f"{metric} {100 * np.nanmean(differences):+.1f} ({100 * low:+.1f} ... {100 * high:+.1f})"
            )
        print(
            f"unseen products, mean of {FOLDS} halves, {' -> '.join(protocol)}, over frozen: {', '.join(changes_shown)}"
        )


def _rows(data: training_data.TrainingData, split: str, products: set[str]) -> list[int]:
    selection = ("train", "val", "test") if split == "natural" else (split,)
    items = data.photos.items
    return [row for row, item in enumerate(items) if item.split in selection and item.product in products]


def _search(
    data: training_data.TrainingData, vectors: Vectors, queries: str, gallery: str, products: set[str]
) -> Scores:
    own, among = _rows(data, queries, products), _rows(data, gallery, products)
    names = [item.product for item in data.photos.items]
    found = rankings(vectors[own], vectors[among], [names[row] for row in own], [names[row] for row in among])
    return metrics.score(found, ("recall@1", "map@r"))


def _reported(scores: Scores) -> str:
    return f"{100 * np.nanmean(scores['recall@1']):.1f} R@1, {100 * np.nanmean(scores['map@r']):.1f} MAP@R"


if __name__ == "__main__":
    main()
