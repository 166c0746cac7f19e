"""dmlcli models: list the models of the workspace, return to one, or compare two."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options, progress
from dmlcli.arguments import names
from dmlcli.errors import CannotRun, UsageError, nearest

if TYPE_CHECKING:
    from dmlcli.model import Model
    from dmlcli.report.models import ModelRow, ModelsReport
    from dmlcli.report.models_diff import ModelsDiffReport, ScoreDifference
    from dmlcli.report.models_use import IndexState, ModelsUseReport
    from dmlcli.workspace import Workspace

_MODELS = {"list": (0, 0), "use": (1, 1), "diff": (1, 2)}  # how many models each action takes


def models(
    action: options.ModelsAction = "list",
    model: options.ModelNames = None,
    *,
    queries: options.DiffQueries = None,
    workspace: options.WorkspacePath = None,
) -> "ModelsReport | ModelsUseReport | ModelsDiffReport":
    """List the models of the workspace, return to one, or compare two.

    list: the current model and the last five that it replaced. use: make a model the current one, and index the same
    images with it; their vectors are kept, or made of cached features of the same backbone, so that photos are read
    only if they are new since then. Queries use the old index until the new one is complete. diff: scores of two models
    (or of one and the current one) on the photos that cross-validation held out from both, or with --queries on your
    own, with paired 95 % intervals over products.

    Examples:

        dmlcli models

        dmlcli models use 3f2a

        dmlcli models diff 3f2a 91c0 --queries ./phone-photos
    """
    from dmlcli import model_history
    from dmlcli.workspace import need

    listed = names(model, "model")
    _check(action, listed, queries)
    place = need(workspace)
    if action == "list":
        return _list(place)
    found = [model_history.find(place.models, place.model, name) for name in listed]
    return _use(found[0], place) if action == "use" else _diff(found, place, queries)


def _check(action: str, listed: list[str], queries: Path | None) -> None:
    """Raise UsageError for an unknown action, a wrong number of models, or an option without effect."""
    if action not in _MODELS:
        raise UsageError(f"unknown action '{action}' of models", hint=nearest(action, list(_MODELS)))
    least, most = _MODELS[action]
    if not least <= len(listed) <= most:
        expected = f"{least}" if least == most else f"{least} or {most}"
        raise UsageError(
            f"models {action} takes {expected} model{'s' if most != 1 else ''}, not {len(listed)}",
            hint="dmlcli models lists them",
        )
    if queries is not None and action != "diff":
        raise UsageError(f"--queries has no effect with models {action}", hint="dmlcli models diff A B --queries PATH")


def _list(place: "Workspace") -> "ModelsReport":
    from datetime import UTC, datetime

    from dmlcli import model_history, runs
    from dmlcli.model import FILES
    from dmlcli.report.models import ModelRow, ModelsReport
    from dmlcli.storage import records

    known_runs = {one.result.get("fingerprint"): one for one in runs.list_runs(place.runs)}
    current = _current(place)
    indexed = ""
    with suppress(OSError, ValueError):  # without an index, or with a damaged one, which status reports
        indexed = str(records.read_object(place.index / "index.json").get("model"))

    def row(model: "Model") -> "ModelRow":
        record, run = model.record, known_runs.get(model.record.fingerprint)
        written = datetime.fromtimestamp((model.folder / FILES[0]).stat().st_mtime, UTC)
        return ModelRow(
            fingerprint=record.fingerprint,
            current=record.fingerprint == current,
            indexed=record.fingerprint == indexed,
            written=written.isoformat(timespec="seconds"),
            run=run.id if run else "",
            catalog=run.catalog if run else "",
            backbone=record.backbone,
            chosen=record.scores.get("chosen", "none"),
            products=len(record.products),
            dim=record.dim,
            score=record.scores.get("map@r"),
            frozen_score=record.scores.get("frozen map@r"),
            embedded=record.fingerprint == indexed or (place.embedded / record.fingerprint).is_dir(),
        )

    return ModelsReport(str(place.folder), tuple(map(row, model_history.known(place.models, place.model))))


def _use(model: "Model", place: "Workspace") -> "ModelsUseReport":
    from dmlcli import held_out_scores, indexes, model_switch
    from dmlcli.report.models_use import ModelsUseReport

    started, before = time.perf_counter(), _current(place)
    scores: list[ScoreDifference] = []
    if before not in ("", model.record.fingerprint):
        kept = held_out_scores.read(model.folder), held_out_scores.read(place.model)
        scores = held_out_scores.compare(*kept)[2]
        progress.note(_compared(scores) or f"the two models: {held_out_scores.why_not(*kept)}")
    done = model_switch.use(model, place)
    fingerprint = model.record.fingerprint
    index: IndexState = "none"
    with suppress(CannotRun):
        unchanged: IndexState = "unchanged" if indexes.open_index(place.index).model == fingerprint else "other model"
        index = "rebuilt" if done.embeddings else unchanged
    return ModelsUseReport(
        fingerprint=fingerprint,
        model=str(place.model),
        replaced=before if before and before != fingerprint else None,
        index=index,
        images=len(done.embeddings.items) if done.embeddings else 0,
        embedded=done.fresh,
        from_features=done.from_features,
        scores=tuple(scores),
        seconds=time.perf_counter() - started,
    )


def _compared(scores: "list[ScoreDifference]") -> str:
    """Return what the photos held out from both models say of all searches; "" without such photos."""
    rows = [row for row in scores if row.metric == "map@r" and row.difference is not None]
    if not rows:
        return ""
    last = rows[-1]  # all searches, where there are several
    ends = last.interval95
    interval = f" (95 % interval {100 * ends[0]:+.1f} … {100 * ends[1]:+.1f})" if ends else ""
    return f"its MAP@R of photos held out from both models differs by {100 * (last.difference or 0.0):+.1f}{interval}"


def _diff(found: "list[Model]", place: "Workspace", queries: Path | None) -> "ModelsDiffReport":
    from dmlcli.evaluation.model_comparison import compare_held_out, compare_queries
    from dmlcli.model import open_model

    first, second = found if len(found) > 1 else (found[0], open_model(place.model))
    if first.record.fingerprint == second.record.fingerprint:
        raise UsageError(
            f"model {first.record.fingerprint} cannot be compared with itself", hint="dmlcli models diff A B"
        )
    if queries is None:
        return compare_held_out(first, second)
    return compare_queries(first, second, place, Path(queries))


def _current(place: "Workspace") -> str:
    """Return the fingerprint of the current model, "" where there is none."""
    from dmlcli.model import open_model

    try:
        return open_model(place.model).record.fingerprint
    except CannotRun:
        return ""
