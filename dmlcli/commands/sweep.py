"""dmlcli sweep: search for the recipe that suits the photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import options
from dmlcli.arguments import names
from dmlcli.errors import CannotRun, UsageError
from dmlcli.options.recipe import with_recipe

if TYPE_CHECKING:
    from dmlcli.learn.recipe import Recipe
    from dmlcli.report.sweep import SweepReport

_SETTINGS = (
    "loss",
    "memory",
    "sampler",
    "images_per_product",
    "batch_size",
    "loss_factor",
    "backbone",
    "weights",
    "head",
    "dim",
    "pooling",
    "decode",
    "epochs",
    "learning_rate",
    "optimizer",
    "schedule",
    "weight_decay",
    "ema",
    "views",
    "augment",
    "purpose",
    "patience",
    "seed",
)


@with_recipe(*_SETTINGS)
def sweep(
    catalog: options.CatalogPath,
    *,
    trials: options.Trials = 60,
    method: options.SweepMethod = "tpe",
    budget: options.Budget = None,
    losses: options.SweepLosses = None,
    recipe: options.Recipe = None,
    device: options.Device = "auto",
    output: options.RecipeOut = None,
    html: options.SweepPage = None,
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
) -> "SweepReport":
    """Search for a better recipe (an extra).

    Recipes are tried on cached features of the frozen backbone: loss and its settings, learning rate, batches, head and
    pooling. A setting that is given is not searched. Half of the products, and photos of the others, are never seen by
    the search: there the best recipe is compared with the default one, with paired 95 % intervals over products.

    The same command continues a sweep, and several processes can share one.

    Examples:

        dmlcli sweep ./catalog

        dmlcli sweep ./catalog --trials 200 --budget 30m --output best.toml --html sweep.html

        dmlcli train ./catalog --recipe best.toml
    """
    from dataclasses import replace

    from dmlcli import storage
    from dmlcli.catalog import Columns, open_catalog, split_for_training
    from dmlcli.learn.recipe import overrides
    from dmlcli.learn.recipe_files import resolve
    from dmlcli.learn.time_budget import TimeBudget, seconds
    from dmlcli.learn.validation.folds import half_split
    from dmlcli.workspace import make

    time_budget = TimeBudget(None if budget is None else seconds(budget))
    given = overrides(settings)
    listed, base = _losses(losses, given, resolve(recipe, given))
    replace(base, tune="head").check()  # what is trained here
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True, strict=strict)
    half_split(photos.items, split_for_training(photos), base.seed)  # fails early if there are too few products
    for file in (output, html):
        if file is not None:
            storage.check_writable(Path(file), new_folders=False)
    place = make(workspace)
    _check_extra()
    from dmlcli.learn.sweep.run import sweep as search  # torch and Optuna start here

    report = search(
        photos,
        base,
        listed,
        frozenset(given),
        place,
        trials=trials,
        method=method,
        device=device,
        time_budget=time_budget,
        output=None if output is None else Path(output),
    )
    if html is not None:
        from dmlcli.pages import sweep as sweep_page

        sweep_page.write(Path(html), report, str(catalog))
    return report


def _losses(losses: Any, given: dict[str, Any], base: "Recipe") -> "tuple[tuple[str, ...], Recipe]":
    """Return the losses that are tried, and the default recipe, which has the first of them."""
    from dataclasses import replace

    from dmlcli.learn import losses as known
    from dmlcli.learn.sweep.space import LOSSES, split_specs

    if losses is None:
        others = () if "loss" in given else LOSSES
        return tuple(dict.fromkeys((base.loss, *others))), base
    if "loss" in given:
        raise UsageError("--loss fixes the loss, so --losses would have no effect", hint="leave out --loss")
    text = ",".join(names(losses, "losses"))
    if text == "all":
        alone = [name for name in known.names() if known.describe(name).family != "regularizer"]
        return tuple(dict.fromkeys((base.loss, *alone))), base
    listed = split_specs(text)
    for spec in listed:
        known.parse(spec)
    return tuple(dict.fromkeys(listed)), replace(base, loss=listed[0])


def _check_extra() -> None:
    """Raise CannotRun where Optuna is not installed."""
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise CannotRun("sweep needs the library optuna", hint="pip install 'dmlcli[sweep]'")
