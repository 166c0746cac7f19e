"""dmlcli train: photos in, a model and a searchable index out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import dist_env, interrupts, options, progress
from dmlcli.arguments import names
from dmlcli.errors import UsageError
from dmlcli.options.recipe import with_recipe

if TYPE_CHECKING:
    from dmlcli.report.train import TrainReport
    from dmlcli.report.train_plan import PlanReport


@with_recipe()
def train(
    catalog: options.CatalogPaths,
    *,
    recipe: options.Recipe = None,
    budget: options.Budget = None,
    dry_run: options.DryRun = False,
    tensorboard: options.TensorBoard = False,
    resume: options.Resume = False,
    run: options.RunId = None,
    device: options.Device = "auto",
    keep_if_better: options.KeepIfBetter = False,
    no_index: options.NoIndex = False,
    output: options.ModelOut = None,
    html: options.TrainPage = None,
    workspace: options.WorkspacePath = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    box_column: options.BoxColumn = None,
    root: options.Root = None,
    merge_products: options.MergeProducts = False,
    strict: options.Strict = False,
    **settings: Any,
) -> "TrainReport | PlanReport":
    """Train a model on your own photos, then embed and index them.

    Photos and whole products are held out, and the model that finds them best is kept (by MAP@R). The pretrained
    backbone is kept if training makes the search worse, for products that it was trained on or for new ones. The model
    that is replaced stays in the folder models/ of the workspace.

    Examples:

        dmlcli train ./catalog

        dmlcli train photos.csv --product-column sku --loss triplet:margin=0.3 --tune all

        dmlcli train ./studio ./phone --merge-products
    """
    if dist_env.rank() > 0:
        from dmlcli.learn.training import worker

        worker.run_and_exit(device)
    import shlex

    from dmlcli import runs, storage
    from dmlcli.catalog import Columns, open_catalogs, split_for_training
    from dmlcli.learn.recipe import check_used, overrides
    from dmlcli.learn.recipe_files import resolve, to_toml
    from dmlcli.learn.resumed_recipe import resumed_recipe
    from dmlcli.learn.stage_times import expected
    from dmlcli.learn.time_budget import TimeBudget, seconds
    from dmlcli.model import FILES
    from dmlcli.pages import training as training_page
    from dmlcli.workspace import find, make, need

    time_budget = TimeBudget(None if budget is None else seconds(budget))
    if run is not None and not resume:
        raise UsageError(f"--run {run} without --resume", hint="train --recipe FILE repeats a run from the start")
    resumed = runs.resume(need(workspace).runs, run) if resume else None
    typed = overrides(settings)
    resolved = resumed_recipe(resumed, recipe, typed) if resumed else resolve(recipe, typed)
    if not resumed:
        check_used(resolved, typed)
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    listed = names(catalog, "catalog")
    photos = open_catalogs(
        list(map(Path, listed)), columns, root, for_training=True, strict=strict, merge_products=merge_products
    )
    if resolved.tune != "none":
        split_for_training(photos)  # fails early where the catalog cannot be trained on
    if output is not None:
        storage.check_replaceable(Path(output), FILES)
    if html is not None:
        storage.check_writable(Path(html), new_folders=False)
    if dry_run:
        from dmlcli.learn.training.dry_run import plan_run

        dist_env.check_alone("train --dry-run")
        return plan_run(photos, resolved, find(workspace), device, time_budget)
    place = make(workspace)
    target = Path(output) if output else resumed.output if resumed else place.model
    begin = runs.go_on_or_start if dist_env.were_restarted() else runs.start
    catalogs = listed[0] if len(listed) == 1 else shlex.join(listed)
    current = resumed or begin(place.runs, to_toml(resolved), catalogs, target)
    named = (
        shlex.join(listed)
        + (" --merge-products" if merge_products else "")
        + (f" -w {shlex.quote(str(workspace))}" if workspace else "")
    )
    with interrupts.keeping(f"run {current.record.id} can be resumed", f"dmlcli train {named} --resume"), current:
        planned = expected(len(photos.items), resolved, index=not no_index, budget=time_budget.left if budget else None)
        progress.plan(planned)
        progress.stage("load")
        from dmlcli import training_run  # torch starts here

        if tensorboard:
            from dmlcli.learn.training.tensorboard import Board

            current.listeners.append(Board(current.folder, runs.read_metrics(current.folder)).log)
        destination = training_run.Destination(target, not no_index, named, keep_if_better)
        report, embeddings = training_run.carry_out(photos, resolved, current, destination, device, time_budget)
    if html is not None:
        training_page.write(Path(html), report, runs.read_metrics(current.folder), photos, embeddings)
    return report
