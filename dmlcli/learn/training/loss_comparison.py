"""`dmlcli compare`: the same head trained with each of several losses, on half of the products."""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dmlcli import metrics, progress
from dmlcli.catalog import Catalog, split_for_training
from dmlcli.embeddings import Vectors
from dmlcli.errors import TrainingError
from dmlcli.learn.networks import frozen
from dmlcli.learn.networks.heads import HeadSpec
from dmlcli.learn.networks.inference import pick_device
from dmlcli.learn.networks.lda import CONSERVATIVE
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training.stages import HeadStage
from dmlcli.learn.validation import training_data
from dmlcli.learn.validation.folds import describe, half_split
from dmlcli.learn.validation.head_selection import new_head, solve
from dmlcli.learn.validation.scoring import Searches
from dmlcli.learn.validation.training_data import Fold
from dmlcli.report.compare import CLOSED, FROZEN, CompareReport, Contender, recommend
from dmlcli.workspace import Workspace

Scores = dict[str, dict[str, NDArray[np.float64]]]  # of each query, by search and metric
ProductRecall = dict[str, Any]  # fields of a row: Recall@K by product, by metric


def compare_losses(
    catalog: Catalog, recipe: Recipe, workspace: Workspace, specs: Sequence[str], device_name: str = "auto"
) -> CompareReport:
    """Train a head with each loss on half of the products, and score it on held-out photos.

    Args:
        catalog: the photos.
        recipe: all settings but the loss.
        workspace: keeps the features.
        specs: the losses, as `--loss` takes them.
        device_name: of the backbone, as --device; heads are trained on the CPU.

    Returns:
        The table, best first, with the frozen backbone and the LDA head that all heads start from.

    Raises:
        CatalogError: too few products.
    """
    device = pick_device(device_name)
    backbone = frozen.open_backbone(recipe, workspace.frozen, catalog)
    readable = training_data.read_photos(catalog, backbone, workspace, device)
    split = split_for_training(readable.photos)
    data = training_data.gather(readable, split, backbone, recipe, workspace, device=device)
    halves = half_split(data.photos.items, split, recipe.seed)
    fold = data.fold(halves.fit, halves.searches)
    contenders = sorted(_contenders(fold, recipe, specs), key=_rank)
    recommended, why = recommend(contenders)
    return CompareReport(
        images=len(fold.train.labels),
        products=fold.train.products,
        protocol=describe([halves], data.photos.items),
        contenders=tuple(contenders),
        recommended=recommended,
        why=why,
        caution=backbone.weights.caution,
        skipped=(*catalog.skipped, *data.skipped),
    )


def train_heads(fold: Fold, recipe: Recipe, specs: Sequence[str]) -> Iterator[tuple[str, Vectors | None, str]]:
    """Train a head with each loss, all from the most conservative LDA head, which itself comes first, under no name.

    Args:
        fold: what to fit on, and what to embed.
        recipe: all settings but the loss.
        specs: the losses.

    Yields:
        The loss, the embeddings (V, D) of the validation images after its last epoch (None: training diverged), and
        what went wrong, if anything.
    """
    start = new_head(fold, HeadSpec(recipe.head, recipe.dim))
    solve(start, fold).fill(start, CONSERVATIVE)
    with torch.no_grad():
        yield "", start(fold.validation.features).numpy(), ""
    for spec in progress.track(specs, "losses"):
        torch.manual_seed(recipe.seed)
        head, trouble = copy.deepcopy(start), ""
        try:
            for epoch in HeadStage(head, fold, replace(recipe, loss=spec)).fit():
                trouble = epoch.diagnostics.trouble
        except TrainingError as error:
            yield spec, None, str(error)
            continue
        with torch.no_grad():
            yield spec, head.eval()(fold.validation.features).numpy(), trouble


def _contenders(fold: Fold, recipe: Recipe, specs: Sequence[str]) -> Iterator[Contender]:
    """Yield the rows of the table: the frozen backbone, the LDA head, then each loss."""
    searches = fold.validation.searches
    baseline = _scores(searches, fold.validation.baseline.numpy())
    lda: Scores | None = None
    frozen_products = _product_recall(searches, fold.validation.baseline.numpy())
    yield replace(_contender(_unscored(FROZEN, 0.0), searches, baseline, baseline), **frozen_products)
    started = time.perf_counter()
    for spec, vectors, trouble in train_heads(fold, recipe, specs):
        row = _unscored(spec or CLOSED, time.perf_counter() - started, trouble)
        if vectors is None:
            yield row
        else:
            scores = _scores(searches, vectors)
            lda = lda or scores
            yield replace(_contender(row, searches, scores, baseline, lda), **_product_recall(searches, vectors))
        started = time.perf_counter()


def _unscored(name: str, seconds: float, trouble: str = "") -> Contender:
    """Return a row of the table without scores."""
    return Contender(name, None, None, None, None, None, None, None, seconds, trouble)


def _scores(searches: Searches, vectors: Vectors) -> Scores:
    return {name: metrics.score(searches.rank(name, vectors)) for name in searches.names}


def _product_recall(searches: Searches, vectors: Vectors) -> ProductRecall:
    """Return the fields of a row with Recall@K by product, where products are ranked by their best image."""
    fields = {"unseen": "product_recall", "seen": "seen_product_recall"}
    return {fields[name]: searches.product_recall(name, vectors, 0.0) for name in searches.names}


def _contender(
    row: Contender, searches: Searches, scores: Scores, baseline: Scores, lda: Scores | None = None
) -> Contender:
    """Return a row of the table with its scores.

    Args:
        row: the name, the seconds and what went wrong.
        searches: of the fold.
        scores: of each query.
        baseline: those of the frozen backbone.
        lda: those of the LDA head; None: not compared with it.
    """
    products = searches.query_products("unseen")
    unseen, seen = scores["unseen"], scores.get("seen")
    gain = unseen["map@r"] - baseline["unseen"]["map@r"]
    return replace(
        row,
        recall_at_1=metrics.mean(unseen["recall@1"]) or 0.0,
        map_at_r=metrics.mean(unseen["map@r"]) or 0.0,
        interval95=metrics.interval95(unseen["map@r"], products),
        gain=metrics.mean(gain) or 0.0,
        gain_interval95=metrics.interval95(gain, products),
        seen_recall_at_1=metrics.mean(seen["recall@1"]) if seen else None,
        seen_map_at_r=metrics.mean(seen["map@r"]) if seen else None,
        head_gain_interval95=metrics.interval95(unseen["map@r"] - lda["unseen"]["map@r"], products) if lda else None,
    )


def _rank(row: Contender) -> float:
    return 1.0 if row.map_at_r is None else -row.map_at_r
