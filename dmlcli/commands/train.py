"""dmlcli train: photos in, a model and a searchable index out."""

import contextlib
import shlex
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dmlcli import dist_env, interrupts, options
from dmlcli.errors import Interrupted, MismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dmlcli.catalog import Catalog
    from dmlcli.embeddings import Embeddings
    from dmlcli.learn.recipe import Recipe
    from dmlcli.learn.time_budget import TimeBudget
    from dmlcli.model import Model
    from dmlcli.report.skipped import Skipped
    from dmlcli.report.train import TrainReport
    from dmlcli.report.train_plan import PlanReport
    from dmlcli.runs import Run
    from dmlcli.workspace import Workspace


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
    typed = dict(locals())  # before there is anything else here
    if dist_env.rank() > 0:
        _follow(device)
    from dmlcli import model_history, runs, storage
    from dmlcli.catalog import Columns, open_catalog, split_for_training
    from dmlcli.learn.recipe import check_used, given, resolve, to_toml
    from dmlcli.learn.time_budget import TimeBudget, seconds
    from dmlcli.model import FILES
    from dmlcli.pages import training
    from dmlcli.pages.base import check_writable
    from dmlcli.report.train import TrainReport
    from dmlcli.workspace import find, make, need

    started, asked = time.perf_counter(), given(typed)
    time_budget = TimeBudget(None if budget is None else seconds(budget))
    if run is not None and not resume:
        raise UsageError(f"--run {run} without --resume", hint="train --recipe FILE repeats a run from the start")
    going = runs.resume(need(workspace).runs, run) if resume else None
    settings = _unchanged(going, recipe, asked) if going else resolve(recipe, asked)  # misspelt: answered at once
    if not going:
        check_used(settings, asked)
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True, strict=strict)
    if settings.tune != "none":
        split_for_training(photos, settings.seed)  # a catalog that cannot be trained on is answered at once
    if output is not None:
        storage.check_replaceable(Path(output), FILES)
    if html is not None:
        check_writable(Path(html))
    if dry_run:
        dist_env.check_alone("train --dry-run")
        return _plan(photos, settings, find(workspace), device, time_budget)
    place = make(workspace)
    target = Path(output) if output else going.output if going else place.model
    begin = runs.go_on_or_start if dist_env.were_restarted() else runs.start
    going = going or begin(place.runs, to_toml(settings), str(catalog), target)
    named = shlex.quote(str(catalog)) + (f" -w {shlex.quote(str(workspace))}" if workspace else "")
    resumable = f"run {going.record.id} can be resumed"
    with interrupts.keeping(resumable, f"dmlcli train {named} --resume"), going:
        from dmlcli.learn.training import trainer  # torch starts here

        log = _make_logger(going, tensorboard)
        outcome = trainer.train(photos, settings, place, target, going, device=device, time_budget=time_budget, log=log)
        made = model_history.adopt(place.models, outcome.model)
        if outcome.interrupted:
            model_history.place(place.models, made, target)
            raise Interrupted(
                f"interrupted; the best model so far ({outcome.origin}) is saved in {target}",
                hint=f"dmlcli train {named} --resume continues; dmlcli index {named} indexes with the model so far",
            )
        embeddings, failed, replaced = _put_in_place(photos, place, made, target, outcome.embedded, not no_index)
        skipped = [*photos.skipped, *outcome.skipped]
        report = TrainReport(
            run=going.record.id,
            model=str(target),
            fingerprint=made.record.fingerprint,
            images=len(photos.items),
            products=len({item.product for item in photos.items} - {""}),
            validation=outcome.validation,
            frozen_score=outcome.frozen_score,
            score=outcome.score,
            chosen=outcome.origin,
            seconds=time.perf_counter() - started,
            index=None if no_index else str(place.index),
            caution=made.record.caution,
            skipped=(*skipped, *(failure for failure in failed if failure not in skipped)),
            searches=outcome.searches,
            reason=outcome.reason,
            replaced=None if replaced is None else str(replaced),
        )
        keys = ("chosen", "score", "frozen_score", "seconds", "fingerprint")
        going.finish({key: getattr(report, key) for key in keys})
    if html is not None:
        training.write(Path(html), report, runs.read_metrics(going.folder), photos, embeddings)
    return report


def _put_in_place(
    photos: "Catalog",
    place: "Workspace",
    made: "Model",
    target: Path,
    embedded: "Sequence[Embeddings]",
    indexed: bool,
) -> "tuple[Embeddings | None, Sequence[Skipped], Path | None]":
    """Embed and index with a new model, and only then make it the current one: queries meanwhile use the one before.

    Whichever of index and model a query finds, the model that made the index is in the workspace's `models/`.

    Args:
        photos: what to embed.
        place: the workspace.
        made: the new model, in `models/`.
        target: where the current model is.
        embedded: what the model is known to make of the photos.
        indexed: False with `--no-index`.

    Returns:
        The embeddings, the images that cannot be read, and where the model that was replaced is kept.
    """
    from dmlcli import encoder, indexes, model_history, storage
    from dmlcli.embeddings import save as save_embeddings
    from dmlcli.errors import CannotRun

    embeddings: Embeddings | None = None
    failed: Sequence[Skipped] = ()
    with ExitStack() as locks:
        locks.enter_context(storage.only_writer(target))
        if indexed:
            locks.enter_context(storage.only_writer(place.index))
            locks.enter_context(storage.only_writer(place.embeddings))
            model_history.keep(place.models, target)  # for the index that is there until it is replaced
            known = [*embedded, *place.known()]
            computed = encoder.Encoder(made).embed_catalog(photos, known, keep_at=place.embeddings)
            embeddings, failed = computed.embeddings, computed.skipped
            save_embeddings(place.embeddings, embeddings)
            indexes.build(place.index, embeddings, target)
        replaced = model_history.place(place.models, made, target)
    in_use = {made.record.fingerprint}
    with contextlib.suppress(CannotRun):
        in_use.add(indexes.open_index(place.index).model)
    model_history.prune(place.models, in_use)
    return embeddings, failed, replaced


def _plan(
    photos: "Catalog", recipe: "Recipe", place: "Workspace | None", device: str, time_budget: "TimeBudget"
) -> "PlanReport":
    """What the run would do, tried out in small."""
    from dmlcli.catalog import split_for_training
    from dmlcli.learn.data import class_balance
    from dmlcli.learn.networks.inference import pick_device
    from dmlcli.learn.networks.pretrained import resolve
    from dmlcli.learn.training import stages  # torch starts here
    from dmlcli.learn.training.dry_run import estimate
    from dmlcli.report.train_plan import PlanReport

    stages.build_loss(recipe, 2, 2)
    found = estimate(photos, recipe, place, pick_device(device), split_for_training, time_budget)
    return PlanReport(
        images=len(photos.items),
        products=len({item.product for item in photos.items} - {""}),
        recipe=asdict(recipe),
        unusual=tuple(class_balance.describe(photos.items, recipe)),
        validation=found.summary,
        next_stage=found.next_stage,
        parts=found.parts,
        seconds=sum(found.parts.values()),
        memory=found.memory,
        caution=resolve(recipe.backbone, recipe.weights).caution,
        skipped=tuple(photos.skipped),
    )


def _unchanged(going: "Run", named: str | None, asked: dict[str, Any]) -> "Recipe":
    """The recipe of a run that is resumed.

    Raises:
        MismatchError: where its recipe.toml was edited, or other settings are asked for now.
    """
    from dmlcli.learn.recipe import differences, from_text, resolve

    before = resolve(None, from_text(going.record.recipe, going.recipe))
    if going.recipe.is_file() and (edited := differences(resolve(str(going.recipe), {}), before)):
        raise MismatchError(
            f"{going.recipe} was edited since run {going.record.id} began: {'; '.join(edited)}",
            hint=f"undo that to resume, or start a new run with it: dmlcli train CATALOG --recipe {going.recipe}",
        )
    now = resolve(named, asked) if named else resolve(None, asdict(before) | asked)
    if changes := differences(now, before):
        raise MismatchError(
            f"run {going.record.id} was started with other settings: {'; '.join(changes)}",
            hint="leave them out to go on with it, or train without --resume",
        )
    return before


def _follow(device: str) -> NoReturn:
    """What a process does that does not lead: its part of the gradient training, and nothing after it."""
    from dmlcli.learn.networks.inference import pick_device
    from dmlcli.learn.training import worker

    with dist_env.a_part():
        worker.run_worker(pick_device(device))
    raise SystemExit(0)


def _make_logger(run: "Run", tensorboard: bool) -> "Callable[[Mapping[str, Any]], None]":
    """Return what logs the facts of each candidate: to metrics.jsonl, and to TensorBoard where it is asked for."""
    if not tensorboard:
        return run.log
    from dmlcli import runs
    from dmlcli.learn.training.tensorboard import Board

    board = Board(run.folder, runs.read_metrics(run.folder))

    def log(row: "Mapping[str, Any]") -> None:
        run.log(row)
        board.log(row)

    return log
