"""dmlcli compare: which loss suits my photos?"""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options, progress
from dmlcli.report import CompareReport, Contender

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dmlcli.learn.tune import Material
    from dmlcli.learn.validate import Validation

    Scores = dict[str, NDArray[np.float64]]  # of each query, by metric


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
    root: options.Root = None,
) -> CompareReport:
    """Train a head with each loss on half of the products, and score them on the other half.

    All start from the same closed form and train for the same epochs on the same cached features; the last epoch
    counts. Intervals are over products, and the gain over the frozen backbone is paired: one whose interval includes 0
    is no evidence.

    Examples:

        dmlcli compare ./catalog

        dmlcli compare ./catalog --losses proxy-anchor,triplet:mining=batch-hard,softmax+0.5*triplet
    """
    options_given = locals()  # before there is anything else here
    from dmlcli.catalog import Catalog, Columns, open_catalog, split_for_comparison
    from dmlcli.encoder import Encoder
    from dmlcli.learn import losses as known
    from dmlcli.learn.recipe import given, resolve
    from dmlcli.workspace import make

    recipe = resolve(None, {"epochs": 10} | given(options_given))
    specs = known.names() if losses == "all" else re.split(r",(?=[\d.*]*[a-z][a-z-]*(?:[:+,]|$))", losses)
    for spec in specs:
        known.parse(spec)
    columns = Columns(image_column, product_column, category_column, split_column, source_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True)
    split_for_comparison(photos, recipe.seed)
    place = make(workspace)

    from dmlcli.learn import features, frozen, tune  # torch starts here
    from dmlcli.learn.weights import resolve as weights_of

    start = weights_of(recipe.backbone, recipe.weights)
    baseline = frozen.save(place.frozen, frozen.build(start, recipe.seed), start, photos)
    forward = Encoder(baseline).forward
    plain = features.cached(photos, "plain", baseline, forward, place)
    readable = Catalog(photos.root, plain.embeddings.items)
    split = split_for_comparison(readable, recipe.seed)
    fitted = Catalog(readable.root, [readable.items[row] for row in split.fit])
    stacked = features.stacked(fitted, features.view_names(recipe.views, recipe.seed), baseline, forward, place)
    material = tune.gather(fitted, stacked, plain.embeddings, split)

    unlearned = _scores(material.validation, material.validation_features.numpy())
    contenders = [_contender("frozen backbone", unlearned, unlearned, material, 0.0)]
    began = time.perf_counter()
    for spec, vectors, trouble in tune.compare_heads(material, recipe, progress.track(specs, "losses")):
        seconds = time.perf_counter() - began
        scores = _scores(material.validation, vectors)
        contenders.append(_contender(spec or "closed form", scores, unlearned, material, seconds, trouble))
        began = time.perf_counter()
    return CompareReport(
        images=len(fitted.items),
        products=len({item.product for item in fitted.items}),
        protocol=split.how,
        contenders=tuple(sorted(contenders, key=lambda contender: -contender.map_at_r)),
        caution=start.caution,
        skipped=(*photos.skipped, *plain.skipped),
    )


def _scores(validation: "Validation", vectors: "NDArray[np.float32]") -> "Scores":
    from dmlcli import metrics

    return metrics.score(validation.rank(vectors))


def _contender(
    name: str, scores: "Scores", baseline: "Scores", material: "Material", seconds: float, trouble: str = ""
) -> Contender:
    from dmlcli import metrics

    products = material.validation.query_products
    gain = scores["map@r"] - baseline["map@r"]
    return Contender(
        name=name,
        recall_at_1=metrics.mean(scores["recall@1"]) or 0.0,
        map_at_r=metrics.mean(scores["map@r"]) or 0.0,
        interval95=metrics.interval95(scores["map@r"], products),
        gain=metrics.mean(gain) or 0.0,
        gain_interval95=metrics.interval95(gain, products),
        seconds=seconds,
        trouble=trouble,
    )
