"""dmlcli compare: which loss, or which backbone, suits my photos?"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import options
from dmlcli.arguments import names
from dmlcli.errors import UsageError
from dmlcli.options.recipe import with_recipe

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog
    from dmlcli.report.compare import CompareReport
    from dmlcli.report.compare_backbones import CompareBackbonesReport
    from dmlcli.workspace import Workspace


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
_OF_BACKBONES = ("dim", "views", "seed")  # the settings that --backbones uses


@with_recipe(*_SETTINGS, epochs=_EPOCHS)
def compare(
    catalog: options.CatalogPath,
    *,
    losses: options.Losses = None,
    backbones: options.Backbones = None,
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
) -> "CompareReport | CompareBackbonesReport":
    """Compare losses, or backbones, on your photos.

    Losses: train a head with each on half of the products; score it on the other half, and on new photos of its own.
    All start from the same LDA head and train for the same epochs on the same cached features; the last epoch counts.
    A loss is recommended only if it is significantly better than the frozen backbone and than the LDA head, and not
    below the frozen backbone in Recall@1.

    Backbones (--backbones): score each by cross-validation, its pooled features alone and with an LDA head. The first
    in the list is what the others are compared with; one is recommended only if it is significantly better.

    Intervals are over products, and gains are paired: significant where their interval lies above 0.

    Examples:

        dmlcli compare ./catalog

        dmlcli compare ./catalog --losses proxy-anchor,triplet:mining=batch-hard,softmax+0.5*triplet

        dmlcli compare ./catalog --backbones efficientnet_lite0,descriptor,mobilenet_v2=weights.pth

        dmlcli compare ./catalog --backbones all-here
    """
    from dmlcli.catalog import Columns, open_catalog
    from dmlcli.workspace import make

    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)

    def photos() -> "Catalog":
        return open_catalog(Path(catalog), columns, root, for_training=True, strict=strict)

    def place() -> "Workspace":
        return make(workspace)

    if backbones is not None:
        return _backbones(names(backbones, "backbones"), losses, settings, photos, place, device)
    return _losses(losses, settings, photos, place, device)


def _losses(
    losses: Any,
    settings: dict[str, Any],
    photos: Callable[[], "Catalog"],
    place: Callable[[], "Workspace"],
    device: str,
) -> "CompareReport":
    """Compare losses; errors in the options come before the catalog is read."""
    from dmlcli.catalog import split_for_training
    from dmlcli.learn import losses as known
    from dmlcli.learn.recipe import overrides
    from dmlcli.learn.recipe_files import resolve
    from dmlcli.learn.sweep.space import split_specs
    from dmlcli.learn.validation.folds import half_split

    recipe = resolve(None, {"epochs": _EPOCHS} | overrides(settings))
    listed = ",".join(names(losses or "all", "losses"))
    alone = [name for name in known.names() if known.describe(name).family != "regularizer"]
    specs = alone if listed == "all" else split_specs(listed)
    for spec in specs:
        known.parse(spec)
    catalog = photos()
    half_split(catalog.items, split_for_training(catalog), recipe.seed)  # fails early if there are too few products
    workspace = place()
    from dmlcli.learn.training.loss_comparison import compare_losses  # torch starts here

    return compare_losses(catalog, recipe, workspace, specs, device)


def _backbones(
    listed: list[str],
    losses: Any,
    settings: dict[str, Any],
    photos: Callable[[], "Catalog"],
    place: Callable[[], "Workspace"],
    device: str,
) -> "CompareBackbonesReport":
    """Compare backbones; errors in the options come before the catalog is read."""
    from dmlcli.learn.backbone_table import parse_list
    from dmlcli.learn.recipe import FIELDS, overrides
    from dmlcli.learn.recipe_files import resolve

    given = overrides(settings)
    unused = ["--losses"] if losses is not None else []
    unused += [FIELDS[name].option for name in given if name not in _OF_BACKBONES]
    if unused:
        message = f"--backbones trains no network, so {', '.join(unused)} would have no effect"
        raise UsageError(message, hint=f"remove {', '.join(unused)}")
    asked = parse_list([word for word in ",".join(listed).split(",") if word])
    recipe = resolve(None, given)
    catalog, workspace = photos(), place()
    from dmlcli.learn.training.backbone_comparison import compare_backbones  # torch starts here

    return compare_backbones(catalog, recipe, workspace, asked, device)
