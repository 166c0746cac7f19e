"""Training runs: log, resume, and records; torch is not imported here.

    runs/<id>/run.json        when, on which catalog, with which versions; how it ended
    runs/<id>/recipe.toml     every setting, as resolved: `train --recipe` repeats it
    runs/<id>/metrics.jsonl   one line for each state that was scored, and each epoch
    runs/<id>/images.json     what it is trained on, to notice changes; gone once it is done
    runs/<id>/folds.json      scores of finished folds (learn/validation/head_selection.py); gone once it is done
    runs/<id>/checkpoint.pt   from where it goes on (learn/training/checkpoint.py); gone once it is done

The training process holds a lock on `run.json`, which the system releases when the process ends.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from dmlcli import progress, storage
from dmlcli.errors import CannotRun, MismatchError, nearest
from dmlcli.storage import records
from dmlcli.workspace import Workspace

SCHEMA = 3
_RECORD, _RECIPE, _METRICS, _IMAGES, _LOCK = "run.json", "recipe.toml", "metrics.jsonl", "images.json", "lock"
CHECKPOINT, FOLDS = "checkpoint.pt", "folds.json"
_NAMED = 3  # changed images that an error names


@dataclass(frozen=True)
class RunRecord:
    """The content of run.json."""

    id: str
    started: str  # ISO 8601, UTC
    catalog: str
    output: Mapping[str, str]  # where the model goes, as disk.reference names it from the run's folder
    recipe: str = ""  # the text of recipe.toml as it was written
    state: str = "unfinished"  # or done
    versions: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)  # of a run that is done


class Run:
    """One run, from `start` or `resume`; the process at work on it is inside `with run:`, which holds its lock.

    Attributes:
        folder: of the run.
        record: the contents of run.json.
        listeners: called with each line of metrics.jsonl.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder, self.record = folder, record
        self.listeners: list[Callable[[Mapping[str, Any]], None]] = []
        self._lock = -1
        self._resumed = read_metrics(folder, strict=True)  # lines of a run that is taken up again

    @property
    def workspace(self) -> Workspace:
        """The workspace that the run is in."""
        return Workspace(self.folder.parent.parent)

    @property
    def recipe(self) -> Path:
        """The file with its settings."""
        return self.folder / _RECIPE

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def folds(self) -> Path:
        """The scores of the folds that are done."""
        return self.folder / FOLDS

    @property
    def output(self) -> Path:
        """Where the model goes: in the workspace that this run is in now, wherever the run began.

        Raises:
            CannotRun: where the run was moved or copied, and its model was to go outside its workspace.
        """
        began, folder = Path(self.record.output["absolute"]), self.folder.resolve()
        here = Path(os.path.normpath(folder / self.record.output["relative"]))
        if here == began or here.is_relative_to(folder.parent.parent):
            return here
        raise CannotRun(
            f"run {self.record.id} was moved since it started; its model was to be written to {began}",
            hint="specify the new output with -o DIR",
        )

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl; an epoch that is run again after an interruption replaces its line."""
        for listener in self.listeners:
            listener(row)
        row = _finite(row)
        if self._resumed:
            if row.get("epoch") is None:
                return  # what precedes the first epoch is computed again, with the same result
            again = row.get("stage"), row["epoch"]
            kept = list(takewhile(lambda line: (line.get("stage"), line.get("epoch")) != again, self._resumed))
            storage.write_text(self.folder / _METRICS, "".join(json.dumps(line) + "\n" for line in kept))
            self._resumed = []
        file = self.folder / _METRICS
        with storage.writing(file), file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, allow_nan=False) + "\n")

    def check_images(self, marks: Mapping[str, list[str]]) -> None:
        """Record the training images (path to state), or compare them with the record when resuming.

        Raises:
            MismatchError: images are new, gone or changed since the run started.
        """
        file = self.folder / _IMAGES
        if not file.exists():
            storage.write_json(file, dict(marks))
            return
        try:
            before = records.read_object(file)
        except (OSError, ValueError) as error:
            raise _damaged(file, str(error)) from error
        changes = {
            "new": sorted(marks.keys() - before.keys()),
            "gone": sorted(before.keys() - marks.keys()),
            "changed": sorted(path for path in marks.keys() & before.keys() if marks[path] != before[path]),
        }
        changes_shown = [f"{len(paths)} {word} ({_some(paths)})" for word, paths in changes.items() if paths]
        if changes_shown:
            raise MismatchError(
                f"the catalog has changed since run {self.record.id} started: {', '.join(changes_shown)}",
                hint="train without --resume, or restore the images",
            )

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write how the run ended, and remove what only its continuation would need."""
        self.record = replace(self.record, state="done", result=_finite(dict(result)))
        _write(self.folder, self.record)
        for name in (CHECKPOINT, FOLDS, _IMAGES, _LOCK):
            (self.folder / name).unlink(missing_ok=True)

    def __enter__(self) -> "Run":
        self._lock = _locked(self.folder)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Release the lock; remove a run that failed before it wrote anything.

        One that was interrupted stays, whatever it came to: it is resumed with the settings it began with.
        """
        os.close(self._lock)
        failed = error is not None and issubclass(error, Exception)
        if failed and not (self.folder / _METRICS).exists() and not self.checkpoint.exists():
            shutil.rmtree(self.folder, ignore_errors=True)


def start(runs: Path, recipe: str, catalog: str, output: Path) -> Run:
    """Begin a run in a new folder of `runs`.

    Args:
        runs: the folder of all runs of a workspace.
        recipe: the text of recipe.toml.
        catalog: the catalog as it was typed.
        output: where the model is to be written.
    """
    now = datetime.now(UTC)
    names = (f"{now:%Y%m%d-%H%M%S}" + (f"-{number}" if number > 1 else "") for number in count(1))
    with storage.writing(runs):
        runs.mkdir(parents=True, exist_ok=True)
        id = next(name for name in names if _made(runs / name))
    folder = runs / id
    named = storage.reference(output, folder)
    record = RunRecord(id, now.isoformat(timespec="seconds"), catalog, named, recipe, versions=_versions())
    storage.write_text(folder / _RECIPE, recipe)
    _write(folder, record)
    return Run(folder, record)


def go_on_or_start(runs: Path, recipe: str, catalog: str, output: Path) -> Run:
    """Resume the last unfinished run with the same recipe, catalog and output, or start a new one.

    Args:
        runs: the folder of all runs.
        recipe: the recipe as text.
        catalog: the path of the catalog.
        output: the path of the model.
    """
    for record in reversed(list_runs(runs)):
        named = storage.reference(output, runs / record.id)
        if (record.state, record.catalog, record.output, record.recipe) == ("unfinished", catalog, named, recipe):
            return resume(runs, record.id)
    return start(runs, recipe, catalog, output)


def resume(runs: Path, id: str | None) -> Run:
    """Resume the run `id`, or the last unfinished one; raises CannotRun if there is none."""
    known = {record.id: record for record in list_runs(runs)}
    unfinished = [record.id for record in known.values() if record.state == "unfinished"]
    damaged = sorted(file.parent.name for file in runs.glob(f"*/{_RECORD}") if file.parent.name not in known)
    if id in damaged or (damaged and not unfinished):
        raise _damaged(runs / (id or damaged[-1]) / _RECORD, "not a record of a run")
    if id is None and not unfinished:
        raise CannotRun(
            f"no run in {runs} was interrupted", hint="train without --resume; dmlcli status lists the runs"
        )
    chosen = id or unfinished[-1]
    if chosen not in known:
        raise CannotRun(f"run {chosen} not found in {runs}", hint=nearest(chosen, list(known)) if known else "")
    if known[chosen].state == "done":
        raise CannotRun(
            f"run {chosen} is done", hint=f"train --recipe {runs / chosen / _RECIPE} repeats it from the start"
        )
    changed = [
        f"{name} {was} is now {now}"
        for name, now in _versions().items()
        if (was := known[chosen].versions.get(name)) != now
    ]
    if changed:
        progress.warn(f"run {chosen} may end with a different result: {', '.join(changed)}")
    return Run(runs / chosen, known[chosen])


def list_runs(runs: Path) -> list[RunRecord]:
    """Return the runs in a folder, oldest first; damaged ones are left out."""
    found = []
    for file in sorted(runs.glob(f"*/{_RECORD}")):
        try:
            found.append(_read(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return sorted(found, key=lambda record: (record.started, record.id))


def is_running(folder: Path) -> bool:
    """Return whether a process is at work on the run."""
    return storage.is_locked(folder / _LOCK)


def read_metrics(folder: Path, *, strict: bool = False) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl up to the first that is not a JSON object: a crash may cut the last one short.

    Args:
        folder: of the run.
        strict: raise CannotRun, naming file and line, where it is not the last.
    """
    file = folder / _METRICS
    rows: list[dict[str, Any]] = []
    lines = file.read_bytes().splitlines() if file.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not a JSON object")
        except ValueError as error:
            if number == len(lines) or not strict:
                break
            raise _damaged(file, f"line {number}: {error}") from error
        rows.append(row)
    return rows


def _read(file: Path) -> RunRecord:
    """Return the record in run.json; raises ValueError, KeyError or TypeError where it is damaged."""
    values = records.read_object(file)
    if values.pop("schema") != SCHEMA:
        raise ValueError("written by another version of dmlcli")
    record = RunRecord(**values)
    texts = [record.id, record.started, record.catalog, record.recipe, record.state, *record.versions.values()]
    texts += [record.output["absolute"], record.output["relative"]]
    if not all(isinstance(text, str) for text in texts) or record.id != file.parent.name:
        raise ValueError("a value has the wrong type")
    if not isinstance(record.result, dict):
        raise ValueError("a value has the wrong type")
    return record


def _damaged(file: Path, reason: str) -> CannotRun:
    return CannotRun(
        f"{file} is damaged ({reason}), so this run cannot be resumed",
        hint="train without --resume starts a new run with the features that are cached",
    )


def _finite(value: Any) -> Any:
    """Return the value with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def _made(folder: Path) -> bool:
    """Return whether the folder is new; another process may have the same name in mind."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _locked(folder: Path) -> int:
    """Return a file descriptor that holds the run's lock; raises CannotRun where another process holds it."""
    try:
        return storage.lock(folder / _LOCK)
    except storage.Locked as error:
        raise CannotRun(f"run {folder.name} is still running in another process", hint="dmlcli status") from error


def _versions() -> dict[str, str]:
    """Return the versions of libraries that affect the last digits of a result."""
    return {name: version(name) for name in ("torch", "torchvision", "numpy")}


def _write(folder: Path, record: RunRecord) -> None:
    storage.write_json(folder / _RECORD, {"schema": SCHEMA} | asdict(record))


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
