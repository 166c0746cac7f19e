"""Trainings without some products, which the benchmarks of answers and of feedback share."""

import argparse
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dmlcli.catalog import (
    OPEN_TO_TRAINING,
    Catalog,
    Columns,
    TrainingSplit,
    open_catalog,
    split_for_training,
)
from dmlcli.learn.networks import frozen
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import refit
from dmlcli.learn.training.answer_fit import embedded_folds
from dmlcli.learn.training.candidate import lda_candidate
from dmlcli.learn.validation import answers, training_data
from dmlcli.learn.validation.answers import FoldAnswers
from dmlcli.learn.validation.plan import make_plan
from dmlcli.learn.validation.training_data import TrainingData
from dmlcli.model import DEFAULT_BACKBONE
from dmlcli.search.confidence import AnswerModel
from dmlcli.types import Rows, Vectors
from dmlcli.workspace import make

COMPONENTS = 700  # principal components of the features that are used


class Trained(NamedTuple):
    """A model that was trained without some products, and the photos that it is tested with."""

    names: NDArray[np.str_]  # (N,) the product of each photo
    vectors: Vectors  # (N, D) embeddings of all photos
    gallery: Rows  # the photos that training may open, of the products that it knows
    unseen: Rows  # the same of the products that were held out
    queries: Rows  # the photos that training never opens, of all products
    is_unseen: NDArray[np.bool_]  # (N,) whether the product of a photo was held out
    folds: list[FoldAnswers]  # what cross-validation found with held-out photos
    answers: AnswerModel | None  # None where too little could be held out


def arguments(description: str | None, draws: int, unknown: int) -> argparse.ArgumentParser:
    """Return the arguments of a script that trains without some of the products.

    Args:
        description: of the script.
        draws: the default number of draws.
        unknown: the default number of products that are held out in each.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--draws", type=int, default=draws)
    parser.add_argument("--unknown", type=int, default=unknown, help="products held out in each draw")
    parser.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "dmlcli-answers")
    return parser


def read_for(asked: argparse.Namespace) -> tuple[TrainingData, Recipe]:
    """Return the photos and the recipe that the arguments name."""
    recipe = Recipe(backbone=asked.backbone, weights=asked.weights)
    return read(asked.data, recipe, asked.workspace / asked.backbone / asked.data.name), recipe


def read(folder: Path, recipe: Recipe, workspace: Path) -> TrainingData:
    """Return the features of all photos, computed once and kept in the workspace.

    Args:
        folder: the grocery photos, with grocery_images.csv, or sample_data.
        recipe: the backbone and its weights.
        workspace: keeps the features.
    """
    photos = _photos(folder)
    place, device = make(workspace), torch.device("cpu")
    backbone = frozen.open_backbone(recipe, place.frozen, photos)
    readable = training_data.read_photos(photos, backbone, place, device)
    data = training_data.gather(readable, TrainingSplit([], []), backbone, recipe, place, device=device)
    opened = [row for row, item in enumerate(data.photos.items) if item.split in OPEN_TO_TRAINING]
    return replace(data, views=_reduced(data.views, data.search_features[opened]))


def draw(data: TrainingData, number: int, seed: int) -> set[str]:
    """Return so many products, drawn at random."""
    products = sorted({item.product for item in data.photos.items})
    return set(random.Random(seed).sample(products, number))


def train(data: TrainingData, recipe: Recipe, held_out: set[str]) -> Trained:
    """Train an LDA head without some products, as `dmlcli train --tune none` does.

    Args:
        data: all photos.
        recipe: all settings.
        held_out: products that training does not see.
    """
    items = data.photos.items
    opened = np.array([item.split in OPEN_TO_TRAINING for item in items])
    names = np.array([item.product for item in items])
    is_unseen = np.isin(names, sorted(held_out))
    rows = np.flatnonzero(opened & ~is_unseen)
    part = Catalog(data.photos.root, [items[row] for row in rows])
    own = replace(data, photos=part, split=split_for_training(part), views=data.views[:, rows])
    plan = make_plan(own, recipe)
    best = lda_candidate(plan)
    head = refit.finish(own, plan, best, recipe, torch.device("cpu")).head
    with torch.no_grad():
        vectors = head(data.search_features).numpy()
    products = names[rows].tolist()
    folds = [
        answers.fold_answers(products, fold.train.rows, fold.validation.searches.by_name, embedded)
        for fold, embedded in embedded_folds(own, plan, best)
        if fold.validation
    ]
    unseen, queries = np.flatnonzero(opened & is_unseen), np.flatnonzero(~opened)
    return Trained(names, vectors, rows, unseen, queries, is_unseen, folds, answers.fit(folds))


def _reduced(views: Tensor, features: Tensor) -> Tensor:
    """Return views (V, N, F) in the principal components of features (M, F): LDA takes a fiftieth of the time."""
    torch.manual_seed(0)
    _, _, components = torch.svd_lowrank(features, q=min(COMPONENTS, *features.shape))
    return F.normalize(views @ components, dim=-1)


def _photos(folder: Path) -> Catalog:
    """Return the grocery photos with their splits; of sample_data the shop photos as train, the snapshots as test."""
    table = folder / "grocery_images.csv"
    if table.exists():
        return open_catalog(table, Columns(product="fine", category="coarse", split="source_split"))
    parts = [("catalog", ""), ("queries", "test")]
    return Catalog(
        folder,
        [
            item._replace(path=f"{name}/{item.path}", split=split or "train")
            for name, split in parts
            for item in open_catalog(folder / name).items
        ],
    )
