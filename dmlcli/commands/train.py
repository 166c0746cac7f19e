"""dmlcli train: photos in, a model and a searchable index out."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options, progress
from dmlcli.errors import Interrupted, UsageError
from dmlcli.report import Skipped, TrainReport

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog
    from dmlcli.embeddings import Embeddings
    from dmlcli.learn.recipe import Recipe
    from dmlcli.learn.tune import Trial
    from dmlcli.model import Model
    from dmlcli.workspace import Workspace


def train(
    catalog: options.CatalogPath,
    *,
    loss: options.Loss = "proxy-anchor",
    backbone: options.Backbone = "mobilenet_v3_large",
    weights: options.Weights = "auto",
    tune: options.Tune = "head",
    for_: options.Purpose = "both",
    head: options.Head = "linear",
    pooling: options.Pooling = None,
    batch_norm: options.BatchNorm = "frozen",
    dim: options.Dim = None,
    epochs: options.Epochs = 20,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = 1e-3,
    sampler: options.Sampler = None,
    images_per_product: options.ImagesPerProduct = 4,
    memory: options.Memory = None,
    views: options.Views = 2,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    no_index: options.NoIndex = False,
    output: options.ModelOut = None,
    workspace: options.WorkspacePath = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    root: options.Root = None,
) -> TrainReport:
    """Fine-tune a model on your own photos, then embed and index them.

    The model that ships is the one with the best MAP@R on validation images; the frozen backbone takes part in that
    choice, so training cannot end worse than it began.

    Examples:

        dmlcli train ./catalog

        dmlcli train photos.csv --product-column sku --loss triplet:margin=0.3 --tune all
    """
    from dmlcli import disk, encoder, indexes
    from dmlcli.catalog import Columns, open_catalog, split_for_training
    from dmlcli.embeddings import save as save_embeddings
    from dmlcli.learn import losses
    from dmlcli.learn.recipe import Recipe
    from dmlcli.model import FILES
    from dmlcli.workspace import make

    started = time.perf_counter()
    losses.parse(loss)  # a misspelt loss is answered before anything is read
    if tune == "none" and dim is not None:
        raise UsageError("--tune none keeps the backbone's features, whose length is given", hint="leave --dim out")
    columns = Columns(image_column, product_column, category_column, split_column, source_column)
    photos = open_catalog(Path(catalog), columns, root, for_training=True)
    if tune != "none":
        split_for_training(photos, seed)  # a catalogue that cannot be trained on is answered before the work starts
    if output is not None:
        disk.check_replaceable(Path(output), FILES)
    place = make(workspace)
    recipe = Recipe(
        loss=loss,
        backbone=backbone,
        weights=str(weights),
        tune=tune,
        purpose=for_,
        head=head,
        pooling=pooling,
        batch_norm=batch_norm,
        dim=dim or 256,
        epochs=epochs,
        batch_size=batch_size or (64 if tune == "all" else 256),
        learning_rate=learning_rate,
        views=views,
        seed=seed,
        sampler=sampler,
        images_per_product=images_per_product,
        memory=memory,
    )
    outcome = _train(photos, recipe, place, Path(output or place.model), device)
    skipped = [*photos.skipped, *outcome.skipped]
    index = None
    if outcome.interrupted:
        raise Interrupted(
            f"stopped; the best so far ({outcome.origin}) is saved in {outcome.model.folder}",
            hint=f"dmlcli index CATALOG --model {outcome.model.folder} makes it searchable",
        )
    if not no_index:
        known = [*outcome.embedded, *place.known()]
        computed = encoder.Encoder(outcome.model).embed_catalog(photos, known, keep_at=place.embeddings)
        save_embeddings(place.embeddings, computed.embeddings)
        index = str(indexes.build(place.index, computed.embeddings, outcome.model.folder).folder)
        skipped += [failure for failure in computed.skipped if failure not in skipped]
    return TrainReport(
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
    )


@dataclass(frozen=True)
class _Outcome:
    """What training made; scores are MAP@R in validation."""

    model: "Model"
    origin: str
    validation: str = "none"
    frozen_score: float | None = None
    score: float | None = None
    skipped: tuple[Skipped, ...] = ()
    interrupted: bool = False
    embedded: tuple["Embeddings", ...] = ()  # what the model makes of images whose features were cached


def _train(photos: "Catalog", recipe: "Recipe", place: "Workspace", target: Path, device: str) -> _Outcome:
    """Frozen backbone, cached features, rehearsals, closed form, gradient; the best on all photos goes to `target`."""
    from dmlcli.catalog import split_for_training
    from dmlcli.learn import course, export, frozen, material, rehearse, tune  # torch starts here
    from dmlcli.learn.encode import pick_device
    from dmlcli.learn.weights import resolve

    course.build_loss(recipe, 2, 2)  # what cannot go together is answered before the work starts
    hardware = pick_device(device)
    if recipe.tune == "none":
        start = resolve(recipe.backbone, recipe.weights)
        return _Outcome(frozen.save(target, frozen.build(start, recipe.seed), start, photos), "frozen backbone")

    matter = material.gather(photos, recipe, place, hardware, split_for_training)
    planned = tune.plan(matter, recipe)
    lesson = planned.lessons[0]
    progress.note(f"fitting on {len(lesson.labels)} images of {lesson.products} products; validation: {planned.how}")
    frozen_trial, best = planned.frozen_trial(), planned.closed_trial()
    _tell(best, frozen_trial)
    network = tune.start(matter, lesson, planned.setting, recipe)
    interrupted = False
    try:
        first = planned.closed_trial(first=True)
        for trial in tune.trials(network, planned, recipe, hardware):
            _tell(trial, first)
            first = trial if trial.beats(first) else first
        if first.epoch is not None:
            best, frozen_trial = first, planned.frozen_trial(first=True)
    except KeyboardInterrupt:
        interrupted = True
        progress.note(f"stopping: the best so far ({best.origin}) is being saved")

    if not best.beats(frozen_trial):
        best, network = frozen_trial, matter.pretrained
    else:
        network = tune.finish(matter, planned, best, recipe)
    items = matter.photos.items
    products = sorted({items[row].product for row in rehearse.fitted_in_the_end(items, matter.split)})
    record = replace(
        frozen.record(matter.start),
        recipe=asdict(recipe),
        products=products,
        held_out=sorted({item.product for item in items} - {*products, ""}),
        scores={
            "validation": planned.how,
            "map@r": best.score,
            "frozen map@r": frozen_trial.score,
            "searches": {
                name: {"frozen": frozen_trial.scores[name], "chosen": score} for name, score in best.scores.items()
            },
            "chosen": best.origin,
        },
    )
    model = export.save(target, network, record, frozen.samples(matter.photos, matter.start))
    of_features = recipe.tune == "head" or best.epoch is None
    reusable = hardware.type == "cpu" and of_features and network is not matter.pretrained
    return _Outcome(
        model=model,
        origin=best.origin,
        validation=planned.how,
        frozen_score=frozen_trial.score,
        score=best.score,
        skipped=tuple(matter.skipped),
        interrupted=interrupted,
        embedded=(matter.embedded(network.head, model.record.fingerprint),) if reusable else (),
    )


def _tell(trial: "Trial", best: "Trial") -> None:
    """One line for each trial that a person would like to see."""
    parts = [f"{name} products {100 * score:.1f} %" for name, score in trial.scores.items()]
    score = f"  MAP@R: {', '.join(parts)}{' *' if trial.beats(best) else ''}" if parts else ""
    if trial.epoch is not None:
        progress.note(f"{trial.origin:<9} loss {trial.epoch.loss:8.4f}{score}  {trial.epoch.seconds:.1f} s")
    elif trial.beats(best):
        progress.note(f"{trial.origin}{score}")
