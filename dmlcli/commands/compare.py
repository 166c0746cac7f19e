"""dmlcli compare: which loss suits my photos?"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import options
from dmlcli.arguments import names
from dmlcli.options.recipe import with_recipe

if TYPE_CHECKING:
    from dmlcli.report.compare import CompareReport


_EPOCHS = 10
_SETTINGS = (
    "backbone",
    "weights",
    "dim",
    "views",
    "images_per_product",
    "batch_size",
    "epochs",
    "learning_rate",
    "seed",
)


@with_recipe(*_SETTINGS, epochs=_EPOCHS)
def compare(
    catalog: options.CatalogPath,
    *,
    losses: options.Losses = "all",
    device: options.Device = "auto",
    workspace: options.WorkspacePath = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    box_column: options.BoxColumn = None,
    root: options.Root = None,
    strict: options.Strict = False,
    **settings: Any,
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
    from dmlcli.catalog import Columns, open_catalog, split_for_comparison
    from dmlcli.learn import losses as known
    from dmlcli.learn.recipe import overrides
    from dmlcli.learn.recipe_files import resolve
    from dmlcli.workspace import make

    recipe = resolve(None, {"epochs": _EPOCHS} | overrides(settings))
    listed = ",".join(names(losses, "losses"))
    specs = known.names() if losses == "all" else re.split(r",(?=[\d.*]*[a-z][a-z-]*(?:[:+,]|$))", listed)
    for spec in specs:
        known.parse(spec)
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True, strict=strict)
    split_for_comparison(photos, recipe.seed)  # fails early where the catalog has too few products
    place = make(workspace)
    from dmlcli.learn.training.loss_comparison import compare_losses  # torch starts here

    return compare_losses(photos, recipe, place, specs, device)
