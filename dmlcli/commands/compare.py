"""dmlcli compare: which loss suits my photos?"""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options, progress
from dmlcli.arguments import names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dmlcli.learn.validation.scoring import Validation
    from dmlcli.learn.validation.training_data import Fold
    from dmlcli.report.compare import CompareReport, Contender

    Scores = dict[str, dict[str, NDArray[np.float64]]]  # of each query, by search and metric


def compare(
    catalog: options.CatalogPath,
    *,
    losses: options.Losses = "all",
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    dim: options.Dim = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    images_per_product: options.ImagesPerProduct = None,
    views: options.Views = None,
    seed: options.TrainSeed = None,
    workspace: options.WorkspacePath = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    box_column: options.BoxColumn = None,
    root: options.Root = None,
    strict: options.Strict = False,
) -> "CompareReport":
    """Train a head with each loss on half of the products; score it on the other half, and on new photos of its own.

    All start from the same LDA head and train for the same epochs on the same cached features; the last epoch
    counts. Intervals are over products, and the gain over the frozen backbone is paired: it is significant where its
    interval lies above 0. A loss is recommended only if it is significantly better than the frozen backbone and than
    the LDA head, and not below the frozen backbone in Recall@1.

    Examples:

        dmlcli compare ./catalog

        dmlcli compare ./catalog --losses proxy-anchor,triplet:mining=batch-hard,softmax+0.5*triplet
    """
    options_given = locals()  # before there is anything else here
    from dmlcli.catalog import Columns, open_catalog, split_for_comparison
    from dmlcli.learn import losses as known
    from dmlcli.learn.recipe import given, resolve
    from dmlcli.report.compare import CLOSED, FROZEN, CompareReport, Contender, recommend
    from dmlcli.workspace import make

    recipe = resolve(None, {"epochs": 10} | given(options_given))
    losses = ",".join(names(losses, "losses"))
    specs = known.names() if losses == "all" else re.split(r",(?=[\d.*]*[a-z][a-z-]*(?:[:+,]|$))", losses)
    for spec in specs:
        known.parse(spec)
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True, strict=strict)
    split_for_comparison(photos, recipe.seed)
    place = make(workspace)

    from dmlcli.learn.networks.inference import pick_device
    from dmlcli.learn.training.loss_comparison import compare_heads  # torch starts here
    from dmlcli.learn.validation import training_data
    from dmlcli.learn.validation.folds import describe, half_split

    data = training_data.gather(photos, recipe, place, pick_device("cpu"), split_for_comparison)
    validation_split = half_split(data.photos.items, data.split)
    fold = data.fold(validation_split.fit, validation_split.searches)
    unlearned = _scores(fold.validation, fold.baseline.numpy())
    contenders = [_contender(FROZEN, unlearned, unlearned, fold, 0.0)]
    closed: Scores | None = None
    began = time.perf_counter()
    for spec, vectors, trouble in compare_heads(fold, recipe, progress.track(specs, "losses")):
        seconds = time.perf_counter() - began
        if vectors is None:
            lost = (None,) * 7
            contenders.append(Contender(spec, *lost, seconds=seconds, trouble=trouble))
        else:
            scores = _scores(fold.validation, vectors)
            closed = closed or scores
            contenders.append(_contender(spec or CLOSED, scores, unlearned, fold, seconds, trouble, closed))
        began = time.perf_counter()
    contenders.sort(key=lambda one: -1.0 if one.map_at_r is None else one.map_at_r, reverse=True)
    recommended, why = recommend(contenders)
    return CompareReport(
        images=len(fold.labels),
        products=fold.products,
        protocol=describe([validation_split], data.photos.items),
        contenders=tuple(contenders),
        recommended=recommended,
        why=why,
        caution=data.weights.caution,
        skipped=(*photos.skipped, *data.skipped),
    )


def _scores(validation: "Validation", vectors: "NDArray[np.float32]") -> "Scores":
    from dmlcli import metrics

    return {name: metrics.score(validation.rank(name, vectors)) for name in validation.names}


def _contender(
    name: str,
    scores: "Scores",
    baseline: "Scores",
    fold: "Fold",
    seconds: float,
    trouble: str = "",
    closed: "Scores | None" = None,
) -> "Contender":
    """One line of the table.

    Args:
        name: of the loss.
        scores: of each query.
        baseline: of the frozen backbone.
        fold: whose validation was searched.
        seconds: that training took.
        trouble: what went wrong in training.
        closed: scores of the LDA head; None: not to be compared with.
    """
    from dmlcli import metrics
    from dmlcli.report.compare import Contender

    products = fold.validation.query_products("new")
    new, known = scores["new"], scores.get("known")
    gain = new["map@r"] - baseline["new"]["map@r"]
    return Contender(
        name=name,
        recall_at_1=metrics.mean(new["recall@1"]) or 0.0,
        map_at_r=metrics.mean(new["map@r"]) or 0.0,
        interval95=metrics.interval95(new["map@r"], products),
        gain=metrics.mean(gain) or 0.0,
        gain_interval95=metrics.interval95(gain, products),
        known_recall_at_1=metrics.mean(known["recall@1"]) if known else None,
        known_map_at_r=metrics.mean(known["map@r"]) if known else None,
        seconds=seconds,
        trouble=trouble,
        head_gain_interval95=metrics.interval95(new["map@r"] - closed["new"]["map@r"], products) if closed else None,
    )
