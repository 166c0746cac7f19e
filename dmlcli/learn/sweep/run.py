"""`dmlcli sweep`: try recipes on one part of the photos, and score the best one on the other."""

import hashlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from dmlcli import interrupts, progress, storage
from dmlcli.catalog import Catalog
from dmlcli.errors import CannotRun, TrainingError, UsageError
from dmlcli.learn.networks.inference import pick_device
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.recipe_files import to_toml
from dmlcli.learn.sweep import poolings
from dmlcli.learn.sweep.nested import NestedFolds
from dmlcli.learn.sweep.space import SAMPLERS, Space
from dmlcli.learn.sweep.study import Method, Pruned, Study, Trial
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training.loss_setup import check_loss
from dmlcli.learn.training.trainer import load_data
from dmlcli.learn.validation.folds import describe
from dmlcli.learn.validation.training_data import TrainingData
from dmlcli.report.sweep import SweepReport, decide
from dmlcli.workspace import Workspace

RECIPE = "recipe.toml"
_AGAIN = "run the same command again to continue"
_VERSION = 1  # of how photos are divided and recipes scored; another one begins another sweep
_WARMUP = 4  # a trial can be pruned after this part (1/4) of the epochs of the first fold
_ASSESSED = 3.0  # time of training by a recipe on the whole part of the search, in trials
_LOAD = 8.0  # seconds, as first guesses: of torch, weights, and the graph of the frozen backbone
_PHOTO, _TRIAL, _TRIAL_PHOTO = 0.012, 2.0, 2e-3  # of a photo in the backbone; of a trial, and of each photo in it


def sweep(
    catalog: Catalog,
    base: Recipe,
    losses: tuple[str, ...],
    fixed: frozenset[str],
    workspace: Workspace,
    *,
    trials: int,
    method: Method = "tpe",
    device: str = "auto",
    time_budget: TimeBudget | None = None,
    output: Path | None = None,
) -> SweepReport:
    """Search for a better recipe; what was tried before with the same photos and settings counts.

    Args:
        catalog: the photos.
        base: the default recipe, which is tried first.
        losses: that are tried, that of `base` first.
        fixed: names of settings that are not searched.
        workspace: keeps features and trials.
        trials: of the study in all.
        method: how parameters are drawn.
        device: of the backbone, as --device; heads are trained on the CPU.
        time_budget: when the command should end; None: after the last trial.
        output: the recipe file to write; None: in the workspace.

    Raises:
        CatalogError: too few products to hold photos out twice.
        TrainingError: training by the default recipe diverges.
    """
    started, time_budget = time.perf_counter(), time_budget or TimeBudget()
    check_loss(base)
    images = len(catalog.items)
    trial = _TRIAL + images * _TRIAL_PHOTO
    expected = {"features": base.views * images * _PHOTO, "trials": trials * trial, "held-out photos": 8 * trial}
    progress.plan({"load": _LOAD} | expected)
    progress.stage("load")
    data = load_data(catalog, base, workspace, pick_device(device), time_budget)
    space = _space(data, base, losses, fixed)
    folder = workspace.sweeps / _identity(data, space, method)
    nested = NestedFolds(data, base, space.largest_dim, folder)
    study = Study(folder, space, method, warmup=max(1, base.epochs // _WARMUP))
    with interrupts.keeping("the trials are kept", _AGAIN):
        progress.stage("trials")
        _run_trials(study, nested, trials, time_budget)
        progress.stage("held-out photos")
        report = _report(study, nested, space, data, output or folder / RECIPE)
    progress.stage("")
    return replace(
        report,
        caution=data.backbone.weights.caution,
        skipped=(*catalog.skipped, *data.skipped),
        seconds=time.perf_counter() - started,
    )


def _space(data: TrainingData, base: Recipe, losses: tuple[str, ...], fixed: frozenset[str]) -> Space:
    categories = {item.category for item in data.photos.items}
    samplers = SAMPLERS if len(categories) > 1 else tuple(name for name in SAMPLERS if name != "category-pk")
    return Space(base, losses, fixed, poolings.known(data), samplers)


def _identity(data: TrainingData, space: Space, method: Method) -> str:
    """Return what names a sweep: a hash of the photos and of all that is the same in its trials."""
    digest = hashlib.blake2b(digest_size=6)
    for item, state in zip(data.plain.items, data.plain.states, strict=True):
        row = (state.digest, item.product, item.category, item.split, item.source)
        digest.update("\0".join(map(str, row)).encode("utf-8", "surrogateescape"))
    settings = (_VERSION, to_toml(space.base), space.losses, sorted(space.fixed), space.poolings, method)
    digest.update(repr(settings).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _run_trials(study: Study, nested: NestedFolds, most: int, time_budget: TimeBudget) -> None:
    """Run trials until there are enough in the study, or the time is over."""
    before = len(study.trials())
    if before:
        progress.note(f"continuing a sweep: {before} of {most} trials are done")
    best = _best_score(study)
    for trial in progress.track(_drawn(study, most, time_budget), "trials", total=max(0, most - before)):
        kept = f"{len(study.trials())} trials are kept"
        with interrupts.keeping(kept, _AGAIN):
            score = _run(study, nested, trial)
        if score is not None and (best is None or score > best):
            best = score
            progress.note(f"trial {trial.optuna.number}: MAP@R {100 * score:.2f} %, the best so far")


def _drawn(study: Study, most: int, time_budget: TimeBudget) -> Iterator[Trial]:
    while not (time_budget.is_limited and time_budget.left < _reserve(study)):
        trial = study.next(most)
        if trial is None:
            return
        yield trial
    progress.note("the time is over")


def _reserve(study: Study) -> float:
    """Return the seconds that another trial and what follows it may take; 0 before the first."""
    done = [one.seconds for one in study.trials()]
    return statistics.median(done) + 2 * _ASSESSED * statistics.mean(done) if done else 0.0


def _run(study: Study, nested: NestedFolds, trial: Trial) -> float | None:
    """Run a trial; return its score, None if it was pruned or failed."""
    try:
        with progress.muted():
            score = nested.score(trial.recipe, trial.report)
    except Pruned:
        study.end(trial)
        return None
    except (TrainingError, UsageError) as error:  # settings of a loss that diverge, or do not go together
        study.end(trial, trouble=str(error))
        return None
    except BaseException:  # interrupted: it is tried again
        trial.release()
        raise
    study.end(trial, score)
    return score


def _best_score(study: Study) -> float | None:
    trials = study.trials()
    return trials[0].score if trials else None


def _report(study: Study, nested: NestedFolds, space: Space, data: TrainingData, file: Path) -> SweepReport:
    """Train by the best recipe and by the default one, score both on what the search never saw, and write the best."""
    trials = study.trials()
    first = next((one for one in trials if one.is_default), None)
    if first is not None and first.outcome == "failed":
        raise TrainingError(f"the default recipe cannot be trained: {first.trouble}", hint="dmlcli losses NAME")
    if not trials or trials[0].score is None:
        raise CannotRun("no trial is finished yet", hint="run it again when the other process is done")
    best = study.recipe(trials[0].number)
    with progress.muted():
        results = [nested.assess(recipe) for recipe in dict.fromkeys((best, space.base))]
    differences = nested.difference(results[0], results[-1])
    better, why = decide(differences, is_default=best == space.base)
    storage.write_text(file, to_toml(best))
    items = data.photos.items
    return SweepReport(
        images=len(nested.outer.fit),
        products=len({items[row].product for row in nested.outer.fit}),
        folds=describe(nested.inner, items),
        held_out=describe([nested.outer], items),
        trials=tuple(trials),
        importance=study.importance(),
        recipe=asdict(best),
        changed=trials[0].changed,
        file=str(file),
        chosen=results[0].origin,
        default_chosen=results[-1].origin,
        differences=tuple(differences),
        better=better,
        why=why,
        seconds=0.0,
    )
