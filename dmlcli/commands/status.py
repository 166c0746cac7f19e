"""dmlcli status: what the workspace holds, and what to type next."""

from dmlcli import options
from dmlcli.report import StatusReport


def status(*, workspace: options.WorkspacePath = None) -> StatusReport:
    """Say what the workspace holds and what to type next.

    Examples:

        dmlcli status
    """
    from pathlib import Path

    from dmlcli import disk, runs
    from dmlcli.errors import CannotRun
    from dmlcli.model import open_model
    from dmlcli.workspace import find

    place = find(workspace)
    if place is None:
        return StatusReport(
            None, None, None, None, next="dmlcli train CATALOG, or dmlcli index CATALOG without training"
        )

    cautions: list[str] = []

    def read(folder: Path, name: str) -> dict[str, str] | None:
        try:
            record = disk.read_json(disk.restore(folder) / name)
            root = record["root"]["absolute"]
            return {key: str(record[key]) for key in ("images", "dim", "model")} | {"root": root}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            cautions.append(f"{folder / name} is damaged: {error}; dmlcli index CATALOG makes it anew")
            return None

    model = None
    try:
        record = open_model(place.model).record
        score = record.scores.get("map@r")
        model = {
            "fingerprint": record.fingerprint,
            "backbone": record.backbone,
            "weights": record.weights_from,
            "head": record.scores.get("chosen", "none: the backbone is used as it is"),
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
    for name, made in (("embeddings", embeddings), ("index", index)):
        if made and model and made["model"] != model["fingerprint"]:
            cautions.append(f"the {name} were made by another model: dmlcli index CATALOG makes them anew")
    if index:
        following = "dmlcli query img.jpg"
    elif model:
        following = "dmlcli index CATALOG"
    else:
        following = "dmlcli train CATALOG"
    found = [
        {"id": run.id, "state": "training" if runs.is_going(place.runs / run.id) else run.state, "catalog": run.catalog}
        for run in runs.list_runs(place.runs)
    ]
    if found and found[-1]["state"] == "unfinished":
        following = "dmlcli train CATALOG --resume"
    return StatusReport(str(place.folder), model, embeddings, index, following, tuple(cautions), tuple(found))
