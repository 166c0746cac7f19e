"""dmlcli train: photos in, a model and a searchable index out."""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dmlcli import interrupts, options, processes, progress
from dmlcli.errors import Interrupted, MismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dmlcli.catalog import Catalog
    from dmlcli.embeddings import Embeddings
    from dmlcli.learn.clock import Clock
    from dmlcli.learn.recipe import Recipe
    from dmlcli.learn.tune import Trial
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

    The model that ships is the one with the best MAP@R in rehearsals, among known products and new ones; the frozen
    backbone takes part in that choice, so training cannot end worse than it began.

    Examples:

        dmlcli train ./catalog

        dmlcli train photos.csv --product-column sku --loss triplet:margin=0.3 --tune all
    """
    typed = dict(locals())  # before there is anything else here
    if processes.rank() > 0:
        _follow(device)
    from dmlcli import disk, encoder, indexes, runs, training_page
    from dmlcli.catalog import Columns, open_catalog, split_for_training
    from dmlcli.embeddings import save as save_embeddings
    from dmlcli.learn.clock import Clock, seconds
    from dmlcli.learn.recipe import given, resolve, to_toml
    from dmlcli.model import FILES
    from dmlcli.page import check_writable
    from dmlcli.report.train import TrainReport
    from dmlcli.workspace import find, make, need

    started, asked = time.perf_counter(), given(typed)
    clock = Clock(None if budget is None else seconds(budget))
    if run is not None and not resume:
        raise UsageError(f"--run {run} without --resume", hint="train --recipe FILE repeats a run from the start")
    going = runs.resume(need(workspace).runs, run) if resume else None
    settings = _unchanged(going, recipe, asked) if going else resolve(recipe, asked)  # misspelt: answered at once
    if settings.tune == "none" and "dim" in asked:
        raise UsageError("--tune none keeps the backbone's features, whose length is given", hint="leave --dim out")
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True, strict=strict)
    if settings.tune != "none":
        split_for_training(photos, settings.seed)  # a catalogue that cannot be trained on is answered at once
    if output is not None:
        disk.check_replaceable(Path(output), FILES)
    if html is not None:
        check_writable(Path(html))
    if dry_run:
        processes.check_alone("train --dry-run")
        return _plan(photos, settings, find(workspace), device, clock)
    place = make(workspace)
    target = Path(output or (going.record.output if going else place.model))
    begin = runs.go_on_or_start if processes.were_restarted() else runs.start
    going = going or begin(place.runs, to_toml(settings), str(catalog), str(target))
    with going, interrupts.keeping("the features computed so far are kept", "run the same command again"):
        told = _telling(going, tensorboard)
        outcome = _train(photos, settings, place, target, device, going, clock, told)
    skipped = [*photos.skipped, *outcome.skipped]
    index = embeddings = None
    if outcome.interrupted:
        raise Interrupted(
            f"stopped; the best so far ({outcome.origin}) is saved in {outcome.model.folder}",
            hint=f"dmlcli train {catalog} --resume goes on; dmlcli index {catalog} makes what there is searchable",
        )
    if not no_index:
        known = [*outcome.embedded, *place.known()]
        with disk.only_writer(place.index), disk.only_writer(place.embeddings):
            computed = encoder.Encoder(outcome.model).embed_catalog(photos, known, keep_at=place.embeddings)
            embeddings = computed.embeddings
            save_embeddings(place.embeddings, embeddings)
            index = str(indexes.build(place.index, embeddings, outcome.model.folder).folder)
        skipped += [failure for failure in computed.skipped if failure not in skipped]
    report = TrainReport(
        run=going.record.id,
        model=str(outcome.model.folder),
        fingerprint=outcome.model.record.fingerprint,
        images=len(photos.items),
        products=len({item.product for item in photos.items} - {""}),
        validation=outcome.validation,
        frozen_score=outcome.frozen_score,
        score=outcome.score,
        chosen=outcome.origin,
        seconds=time.perf_counter() - started,
        index=index,
        caution=outcome.model.record.caution,
        skipped=tuple(skipped),
        searches=outcome.searches,
    )
    going.finish({key: getattr(report, key) for key in ("chosen", "score", "frozen_score", "seconds", "fingerprint")})
    if html is not None:
        training_page.write(Path(html), report, runs.read_metrics(going.folder), photos, embeddings)
    return report


@dataclass(frozen=True)
class _Outcome:
    """What training made; scores are MAP@R in validation."""

    model: "Model"
    origin: str
    validation: str = "none"
    frozen_score: float | None = None
    score: float | None = None
    searches: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: "tuple[Skipped, ...]" = ()
    interrupted: bool = False
    embedded: tuple["Embeddings", ...] = ()  # what the model makes of images whose features were cached


def _plan(photos: "Catalog", recipe: "Recipe", place: "Workspace | None", device: str, clock: "Clock") -> "PlanReport":
    """What the run would do, tried out in small."""
    from dmlcli.catalog import split_for_training
    from dmlcli.learn import balance, course, estimate  # torch starts here
    from dmlcli.learn.encode import pick_device
    from dmlcli.learn.weights import resolve
    from dmlcli.report.train_plan import PlanReport

    course.build_loss(recipe, 2, 2)
    found = estimate.estimate(photos, recipe, place, pick_device(device), split_for_training, clock)
    return PlanReport(
        images=len(photos.items),
        products=len({item.product for item in photos.items} - {""}),
        recipe=asdict(recipe),
        unusual=tuple(balance.describe(photos.items, recipe)),
        validation=found.how,
        deeper=found.deeper,
        parts=found.parts,
        seconds=sum(found.parts.values()),
        memory=found.memory,
        caution=resolve(recipe.backbone, recipe.weights).caution,
        skipped=tuple(photos.skipped),
    )


def _unchanged(going: "Run", named: str | None, asked: dict[str, Any]) -> "Recipe":
    """The recipe of a run that goes on; raises MismatchError where something else is asked for now."""
    from dmlcli.learn.recipe import differences, resolve

    before = resolve(str(going.recipe), {})
    now = resolve(named or str(going.recipe), asked)
    if changes := differences(now, before):
        raise MismatchError(
            f"run {going.record.id} was started with other settings: {'; '.join(changes)}",
            hint="leave them out to go on with it, or train without --resume",
        )
    return before


def _train(
    photos: "Catalog",
    recipe: "Recipe",
    place: "Workspace",
    target: Path,
    device: str,
    going: "Run",
    clock: "Clock",
    told: "Callable[[Mapping[str, Any]], None]",
) -> _Outcome:
    """Frozen backbone, cached features, rehearsals, closed form, gradient; the best on all photos goes to `target`."""
    from dmlcli.catalog import split_for_training
    from dmlcli.learn import (  # torch starts here
        balance,
        course,
        distributed,
        export,
        frozen,
        imitate,
        material,
        rehearse,
        tune,
    )
    from dmlcli.learn.checkpoint import Checkpoint
    from dmlcli.learn.encode import pick_device
    from dmlcli.learn.weights import resolve

    course.build_loss(recipe, 2, 2)  # what cannot go together is answered before the work starts
    hardware = pick_device(device)
    distributed.check_shareable(recipe, hardware)
    distributed.take_all_cores()
    if recipe.tune == "none":
        start = resolve(recipe.backbone, recipe.weights)
        return _Outcome(frozen.save(target, frozen.build(start, recipe.seed), start, photos), "frozen backbone")

    matter = material.gather(photos, recipe, place, hardware, split_for_training, clock, imitate.is_needed)
    states = zip(matter.plain.items, matter.plain.states, strict=True)
    going.check_images({item.path: [item.product, item.category, item.split, state.digest] for item, state in states})
    planned = tune.plan(matter, recipe)
    lesson = planned.lessons[0]
    for unusual in balance.describe(matter.photos.items, recipe):
        progress.note(unusual)
    progress.note(f"fitting on {len(lesson.labels)} images of {lesson.products} products; validation: {planned.how}")
    frozen_trial, best = planned.frozen_trial(), planned.closed_trial()
    _tell(best, frozen_trial)
    told(best.facts() | {"best": best.beats(frozen_trial)})
    network = tune.start(matter, lesson, planned.setting, recipe)
    interrupted, first = False, planned.closed_trial(first=True)
    try:
        with distributed.joined():  # until here the other processes, if there are any, have waited
            for trial in tune.trials(network, planned, recipe, hardware, Checkpoint(going.checkpoint), clock):
                _tell(trial, first)
                told(trial.facts() | {"best": trial.beats(first)})
                first = trial if trial.beats(first) else first
    except KeyboardInterrupt:
        interrupted = True
        progress.note(f"stopping: the best so far ({first.origin}) is being saved")

    if first.trained:
        best, frozen_trial = first, planned.frozen_trial(first=True)
    closest = None
    if not best.beats(frozen_trial):
        best, network = frozen_trial, matter.pretrained
    else:
        closest = tune.closeness(planned, best, recipe)
        network = tune.finish(matter, planned, best, recipe, hardware, again=not interrupted)
    items = matter.photos.items
    products = sorted({items[row].product for row in rehearse.fitted_in_the_end(items, matter.split)})
    searches = {name: {"frozen": frozen_trial.scores[name], "chosen": score} for name, score in best.scores.items()}
    record = replace(
        frozen.record(matter.start),
        recipe=asdict(recipe),
        products=products,
        held_out=sorted({item.product for item in items} - {*products, ""}),
        scores={
            "validation": planned.how,
            "map@r": best.score,
            "frozen map@r": frozen_trial.score,
            "searches": searches,
            "chosen": best.origin,
            "strangers": closest,
        },
    )
    same_backbone = (best.depth == "head" or not best.trained) and network is not matter.pretrained
    samples = frozen.samples(matter.photos, matter.start)
    model = export.save(target, network, record, samples, matter.model.graph if same_backbone else None)
    reusable = hardware.type == "cpu" and same_backbone
    return _Outcome(
        model=model,
        origin=best.origin,
        validation=planned.how,
        frozen_score=frozen_trial.score,
        score=best.score,
        searches=searches,
        skipped=tuple(matter.skipped),
        interrupted=interrupted,
        embedded=(matter.embedded(network.head, model.record.fingerprint),) if reusable else (),
    )


def _follow(device: str) -> NoReturn:
    """What a process does that does not lead: its part of the gradient training, and nothing after it."""
    from dmlcli.learn import tune
    from dmlcli.learn.encode import pick_device

    with processes.a_part():
        tune.follow(pick_device(device))
    raise SystemExit(0)


def _telling(going: "Run", tensorboard: bool) -> "Callable[[Mapping[str, Any]], None]":
    """What takes in the facts of each trial: metrics.jsonl, and TensorBoard where it is asked for."""
    if not tensorboard:
        return going.told
    from dmlcli import runs
    from dmlcli.learn.board import Board

    board = Board(going.folder, runs.read_metrics(going.folder))

    def told(row: "Mapping[str, Any]") -> None:
        going.told(row)
        board.told(row)

    return told


def _tell(trial: "Trial", best: "Trial") -> None:
    """One line for a closed form that is better; epochs speak for themselves."""
    if trial.epoch is None and trial.scores and trial.beats(best):
        told = ", ".join(f"{name} products {100 * score:.1f} %" for name, score in trial.scores.items())
        progress.note(f"{trial.origin}  MAP@R: {told}")
