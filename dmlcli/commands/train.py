"""dmlcli train: photos in, a model and a searchable index out."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import dist_env, interrupts, options
from dmlcli.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from dmlcli.report.train import TrainReport
    from dmlcli.report.train_plan import PlanReport


def train(
    catalog: options.CatalogPath,
    *,
    recipe: options.Recipe = None,
    loss: options.Loss = None,
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    tune: options.Tune = None,
    purpose: options.Purpose = None,
    head: options.Head = None,
    pooling: options.Pooling = None,
    batch_norm: options.BatchNorm = None,
    dim: options.Dim = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    sampler: options.Sampler = None,
    images_per_product: options.ImagesPerProduct = None,
    memory: options.Memory = None,
    views: options.Views = None,
    augment: options.Augment = None,
    decode: options.Decode = None,
    optimizer: options.Optimizer = None,
    schedule: options.Schedule = None,
    weight_decay: options.WeightDecay = None,
    backbone_factor: options.BackboneFactor = None,
    loss_factor: options.LossFactor = None,
    layer_decay: options.LayerDecay = None,
    warmup: options.Warmup = None,
    clip: options.Clip = None,
    accumulate: options.Accumulate = None,
    chunk: options.Chunk = None,
    ema: options.Ema = None,
    patience: options.Patience = None,
    precision: options.Precision = None,
    seed: options.TrainSeed = None,
    budget: options.Budget = None,
    dry_run: options.DryRun = False,
    tensorboard: options.TensorBoard = False,
    resume: options.Resume = False,
    run: options.RunId = None,
    device: options.Device = "auto",
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
    strict: options.Strict = False,
) -> "TrainReport | PlanReport":
    """Fine-tune a model on your own photos, then embed and index them.

    The model that is kept has the best MAP@R on held-out photos, among known products and new ones; where training is
    worse than the frozen backbone in either search, the frozen backbone is kept. The model that it replaces stays in
    the workspace's models/.

    Examples:

        dmlcli train ./catalog

        dmlcli train photos.csv --product-column sku --loss triplet:margin=0.3 --tune all
    """
    settings_typed = dict(locals())  # before there is anything else here
    if dist_env.rank() > 0:
        from dmlcli.learn.training import worker

        worker.run_and_exit(device)
    from dmlcli import model_history, model_switch, runs, storage
    from dmlcli.catalog import Columns, open_catalog, split_for_training
    from dmlcli.learn.recipe import check_used, given, resolve, to_toml
    from dmlcli.learn.resumed_recipe import resumed_recipe
    from dmlcli.learn.time_budget import TimeBudget, seconds
    from dmlcli.model import FILES
    from dmlcli.pages import training as training_page
    from dmlcli.report.train import TrainReport
    from dmlcli.workspace import find, make, need

    started, typed = time.perf_counter(), given(settings_typed)
    time_budget = TimeBudget(None if budget is None else seconds(budget))
    if run is not None and not resume:
        raise UsageError(f"--run {run} without --resume", hint="train --recipe FILE repeats a run from the start")
    resumed = runs.resume(need(workspace).runs, run) if resume else None
    settings = resumed_recipe(resumed, recipe, typed) if resumed else resolve(recipe, typed)
    if not resumed:
        check_used(settings, typed)
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True, strict=strict)
    if settings.tune != "none":
        split_for_training(photos, settings.seed)  # fails early where the catalog cannot be trained on
    if output is not None:
        storage.check_replaceable(Path(output), FILES)
    if html is not None:
        storage.check_writable(Path(html), new_folders=False)
    if dry_run:
        from dmlcli.learn.training.dry_run import plan_run

        dist_env.check_alone("train --dry-run")
        return plan_run(photos, settings, find(workspace), device, time_budget)
    place = make(workspace)
    target = Path(output) if output else resumed.output if resumed else place.model
    begin = runs.go_on_or_start if dist_env.were_restarted() else runs.start
    current = resumed or begin(place.runs, to_toml(settings), str(catalog), target)
    named = shlex.quote(str(catalog)) + (f" -w {shlex.quote(str(workspace))}" if workspace else "")
    with interrupts.keeping(f"run {current.record.id} can be resumed", f"dmlcli train {named} --resume"), current:
        from dmlcli.learn.training import train as train_model  # torch starts here

        if tensorboard:
            from dmlcli.learn.training.tensorboard import Board

            current.listeners.append(Board(current.folder, runs.read_metrics(current.folder)).log)
        trained = train_model(photos, settings, current, device, time_budget=time_budget)
        model = model_history.adopt(place.models, trained.model)
        if trained.interrupted:
            model_history.place(place.models, model, target)
            raise Interrupted(
                f"interrupted; the best model so far ({trained.origin}) is saved in {target}",
                hint=f"dmlcli train {named} --resume continues; dmlcli index {named} indexes with the model so far",
            )
        switched = model_switch.switch(photos, model, place, target, embedded=trained.embedded, index=not no_index)
        skipped = dict.fromkeys([*photos.skipped, *trained.skipped, *switched.skipped])
        validation = trained.validation
        report = TrainReport(
            run=current.record.id,
            model=str(target),
            fingerprint=model.record.fingerprint,
            images=len(photos.items),
            products=len({item.product for item in photos.items} - {""}),
            validation=validation.summary,
            frozen_score=validation.frozen_score,
            score=validation.score,
            chosen=trained.origin,
            seconds=time.perf_counter() - started,
            index=None if no_index else str(place.index),
            caution=model.record.caution,
            skipped=tuple(skipped),
            searches=validation.searches,
            reason=validation.reason,
            replaced=None if switched.replaced is None else str(switched.replaced),
        )
        keys = ("chosen", "score", "frozen_score", "seconds", "fingerprint")
        current.finish({key: getattr(report, key) for key in keys})
    if html is not None:
        metrics = runs.read_metrics(current.folder)
        training_page.write(Path(html), report, metrics, photos, switched.embeddings)
    return report
