"""What `dmlcli train` does: train, embed and index with the new model, make it the current one, and report."""

import time
from dataclasses import dataclass
from pathlib import Path

from dmlcli import held_out_scores, model_history, model_switch, progress
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Embeddings
from dmlcli.errors import Interrupted, ModelError
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training import CurrentScores, TrainedModel, train
from dmlcli.model import Model, open_model
from dmlcli.report.train import Decision, TrainReport
from dmlcli.runs import Run
from dmlcli.workspace import Workspace

_AGAIN = "the current one cannot be fitted again without photos that the new one held out"


@dataclass(frozen=True)
class Destination:
    """Where the model goes, and whether the catalog is indexed with it."""

    model: Path
    index: bool
    arguments: str  # what is typed after `dmlcli train` and `dmlcli index`, for hints
    keep_if_better: bool = False  # else the new model becomes the current one in any case


def carry_out(
    catalog: Catalog, recipe: Recipe, run: Run, destination: Destination, device: str, time_budget: TimeBudget
) -> tuple[TrainReport, Embeddings | None]:
    """Train on a catalog and make the model the current one; return the report, and the embeddings if it is indexed.

    Args:
        catalog: the photos.
        recipe: all settings.
        run: entered by `with`; it is finished here unless it is interrupted.
        destination: of the model.
        device: `auto`, `cpu`, `cuda` or `mps`.
        time_budget: when training should end.

    Raises:
        Interrupted: by Ctrl-C, once the best model so far is saved.
    """
    started, workspace, target = time.perf_counter(), run.workspace, destination.model
    current = _opened(target) if destination.keep_if_better else None
    trained = train(catalog, recipe, run, device, time_budget=time_budget, current=current)
    model = model_history.adopt(workspace.models, trained.model)
    if trained.interrupted:
        raise _interrupted(trained, model, workspace, destination)
    if destination.index:
        progress.stage("index")
    decision = _decide(model, trained.current, _opened(target)) if destination.keep_if_better else None
    if decision is not None and not decision.switched:
        model_switch.prune(workspace, model, open_model(target))
        switched, index = model_switch.SwitchResult(None, (), None), None
    else:
        switched = model_switch.switch(
            catalog, model, workspace, target, embedded=trained.embedded, index=destination.index
        )
        index = str(workspace.index) if destination.index else None
    validation = trained.validation
    report = TrainReport(
        run=run.record.id,
        model=str(target if decision is None or decision.switched else model.folder),
        fingerprint=model.record.fingerprint,
        images=len(catalog.items),
        products=len({item.product for item in catalog.items} - {""}),
        validation=validation.summary,
        frozen_score=validation.frozen_score,
        score=validation.score,
        chosen=trained.origin,
        seconds=time.perf_counter() - started,
        index=index,
        caution=model.record.caution,
        skipped=tuple(dict.fromkeys([*catalog.skipped, *trained.skipped, *switched.skipped])),
        searches=validation.searches,
        product_recall=validation.product_recall,
        reason=validation.reason,
        replaced=None if switched.replaced is None else str(switched.replaced),
        decision=decision,
    )
    progress.stage("")
    keys = ("chosen", "score", "frozen_score", "seconds", "fingerprint")
    run.finish({key: getattr(report, key) for key in keys} | {"stages": progress.stage_seconds()})
    return report, switched.embeddings


def _interrupted(trained: TrainedModel, model: Model, workspace: Workspace, destination: Destination) -> Interrupted:
    """Save the best model so far, and return the message; with `--keep-if-better` it is not used yet."""
    named, target = destination.arguments, destination.model
    hint = f"dmlcli train {named} --resume"
    if destination.keep_if_better:
        target, hint = model.folder, f"{hint} --keep-if-better continues"
    else:
        model_history.place(workspace.models, model, target)
        hint = f"{hint} continues; dmlcli index {named} indexes with the model so far"
    return Interrupted(f"interrupted; the best model so far ({trained.origin}) is saved in {target}", hint=hint)


def _opened(target: Path) -> Model | None:
    """Return the current model; None where there is none."""
    try:
        return open_model(target)
    except ModelError:
        return None


def _decide(model: Model, scored: CurrentScores, current: Model | None) -> Decision:
    """Decide by held-out photos whether a new model replaces the current one.

    Both must be scored by the same searches, and with networks that were not fitted on the photos of these: those of
    cross-validation. The new model is used if its MAP@R over all of these searches is higher, and significantly lower
    in none of them.

    Args:
        model: the new model.
        scored: the current model in the folds of the new one, where these are others than its own.
        current: the current model; None where there is none.
    """
    if current is None:
        return Decision(True, "there was no model before", "")
    before = current.record.fingerprint
    if before == model.record.fingerprint:
        return Decision(True, "it equals the current one", before)
    kept = held_out_scores.read(model.folder), held_out_scores.read(current.folder)
    _, _, rows = held_out_scores.compare(kept[0], scored.searches or kept[1])
    by_search = {row.search: row for row in rows if row.metric == held_out_scores.METRICS[0]}
    if not by_search:
        why_not = held_out_scores.why_not(*kept)
        if scored.why_not:
            why_not += f", and {_AGAIN}: {scored.why_not}"
        return Decision(False, f"the current and the new model: {why_not}", before)
    all_queries = by_search.pop(held_out_scores.ALL, None) or next(iter(by_search.values()))
    worse = [name for name, row in by_search.items() if row.significant and (row.difference or 0.0) < 0]
    gain = all_queries.difference or 0.0
    switched = gain > 0 and not worse
    reason = f"MAP@R of the same held-out photos differs by {100 * gain:+.1f}"
    if all_queries.interval95 is not None:
        reason += " (95 % interval {:+.1f} … {:+.1f})".format(*(100 * end for end in all_queries.interval95))
    if worse:
        reason += f"; significantly lower for {' and '.join(worse)} products"
    if scored.searches:
        lacking = f", and without {scored.gone} photos that are gone" if scored.gone else ""
        reason += f"; for this the current model was scored again, without a fit on these photos{lacking}"
    return Decision(switched, reason, before, tuple(rows))
