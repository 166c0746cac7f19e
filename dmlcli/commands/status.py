"""dmlcli status: show the content of the workspace and the next command."""

from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options

if TYPE_CHECKING:
    from dmlcli.report.status import RunRow, RunState, StatusReport


def status(*, workspace: options.WorkspacePath = None) -> "StatusReport":
    """Show what the workspace contains, and the next command.

    Examples:

        dmlcli status
    """
    from dmlcli import storage
    from dmlcli.errors import CannotRun
    from dmlcli.indexes.index import is_root_there
    from dmlcli.model import open_model
    from dmlcli.report.status import StatusReport
    from dmlcli.storage import records
    from dmlcli.workspace import find, need

    place = need(workspace) if workspace else find()
    if place is None:
        return StatusReport(
            None, None, None, None, next="dmlcli train CATALOG, or dmlcli index CATALOG without training"
        )

    cautions: list[str] = []

    def read(folder: Path, name: str) -> dict[str, str] | None:
        try:
            record = records.read_object(storage.restore(folder) / name)
            root = str(storage.dereference(record["root"], folder))
            return {key: str(record[key]) for key in ("images", "dim", "model")} | {"root": root}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            cautions.append(f"{folder / name} is damaged: {error}; dmlcli index CATALOG rebuilds it")
            return None

    model = None
    try:
        record = open_model(place.model).record
        score = record.scores.get("map@r")
        model = {
            "fingerprint": record.fingerprint,
            "backbone": record.backbone,
            "weights": record.weights_from,
            "head": record.scores.get("chosen", "none (frozen backbone)"),
            "trained on": f"{len(record.products)} products",
            "dim": str(record.dim),
            "validation MAP@R": "not measured" if score is None else f"{100 * score:.1f} %",
        }
        if record.caution:
            cautions.append(record.caution)
    except CannotRun as error:
        if place.model.exists():
            cautions.append(str(error))
    embeddings = read(place.embeddings, "embeddings.json")
    index = read(place.index, "index.json")
    if index and not is_root_there(Path(index["root"])):
        cautions.append(f"the catalog {index['root']} does not exist; if it was moved: dmlcli index NEWPATH --update")
    for name, made in (("embeddings", embeddings), ("index", index)):
        if made and model and made["model"] != model["fingerprint"]:
            cautions.append(f"the {name} were made by another model: dmlcli index CATALOG rebuilds them")
    past = _runs(place.runs)
    if past and past[-1].state == "interrupted":
        cautions.append(f"run {past[-1].id} was interrupted: dmlcli train CATALOG --resume continues it")
    next_command = "query img.jpg" if index else "index CATALOG" if model else "train CATALOG"
    return StatusReport(str(place.folder), model, embeddings, index, f"dmlcli {next_command}", tuple(cautions), past)


def _runs(folder: Path) -> "tuple[RunRow, ...]":
    """Return the training runs, as far as each has come."""
    from dmlcli import runs
    from dmlcli.report.status import RunRow

    rows = []
    for record in runs.list_runs(folder):
        lines = runs.read_metrics(folder / record.id)
        scores = [line["map@r"] for line in lines if line.get("map@r") is not None]
        state: RunState = "done"
        if record.state == "unfinished":
            state = "running" if runs.is_running(folder / record.id) else "interrupted"
        rows.append(
            RunRow(
                id=record.id,
                started=record.started,
                state=state,
                epochs=max((line["epoch"] for line in lines if line.get("epoch")), default=0),
                score=record.result.get("score", max(scores, default=None)),
                chosen=record.result.get("chosen", ""),
            )
        )
    return tuple(rows)
