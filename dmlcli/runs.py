"""The noun Run: one training, followed while it goes and taken up again where it was broken off. No torch in here.

    runs/<id>/run.json        when, on which catalogue, with which versions; how it ended
    runs/<id>/recipe.toml     every setting, as resolved: `train --recipe` repeats it
    runs/<id>/metrics.jsonl   one line for each state of the network that was judged
    runs/<id>/images.json     what it is trained on, to notice changes; gone once it is done
    runs/<id>/checkpoint.pt   from where it goes on (learn/checkpoint.py); gone once it is done

Whoever trains holds a lock on `run.json`, which the system lets go when the process ends, however it ends.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from dmlcli import disk, progress
from dmlcli.errors import CannotRun, MismatchError, nearest

SCHEMA = 1
_RECORD, _RECIPE, _METRICS, _IMAGES, _LOCK = "run.json", "recipe.toml", "metrics.jsonl", "images.json", "lock"
CHECKPOINT = "checkpoint.pt"
_NAMED = 3  # changed images that an error tells by name


@dataclass(frozen=True)
class RunRecord:
    """All that a run says of itself, as it stands in run.json."""

    id: str
    started: str  # ISO 8601, UTC
    catalog: str
    output: str  # where the model goes
    state: str = "unfinished"  # or done
    versions: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)  # of a run that is done


class Run:
    """One run, from `start` or `resume`; the process at work on it is inside `with run:`, which holds its lock."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder, self.record = folder, record
        self._lock = -1
        self._resumed = read_metrics(folder)  # lines of a run that is taken up again

    @property
    def recipe(self) -> Path:
        """The file with its settings."""
        return self.folder / _RECIPE

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def told(self, row: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl; of epochs that are run again after an interruption the last run counts."""
        if self._resumed:
            if row.get("epoch") is None:
                return  # what comes before the first epoch is computed anew, and is the same
            again = row.get("depth"), row["epoch"]
            kept = list(takewhile(lambda line: (line.get("depth"), line.get("epoch")) != again, self._resumed))
            disk.write_text(self.folder / _METRICS, "".join(json.dumps(line) + "\n" for line in kept))
            self._resumed = []
        file = self.folder / _METRICS
        with disk.writing(file), file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def check_images(self, marks: Mapping[str, list[str]]) -> None:
        """Remember what is trained on, path to what is known of it, for the run to go on with nothing else.

        Errors: MismatchError naming what is new, gone or changed since the run was started.
        """
        file = self.folder / _IMAGES
        if not file.exists():
            disk.write_json(file, dict(marks))
            return
        before = disk.read_json(file)
        changes = {
            "new": sorted(marks.keys() - before.keys()),
            "gone": sorted(before.keys() - marks.keys()),
            "changed": sorted(path for path in marks.keys() & before.keys() if marks[path] != before[path]),
        }
        told = [f"{len(paths)} {word} ({_some(paths)})" for word, paths in changes.items() if paths]
        if told:
            raise MismatchError(
                f"the catalogue is not the one that run {self.record.id} was started on: {', '.join(told)}",
                hint="train without --resume, or put the images back",
            )

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write how the run ended, and remove what only its continuation would need."""
        self.record = replace(self.record, state="done", result=dict(result))
        _write(self.folder, self.record)
        for name in (CHECKPOINT, _IMAGES, _LOCK):
            (self.folder / name).unlink(missing_ok=True)

    def __enter__(self) -> "Run":
        self._lock = _locked(self.folder)
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Let go of the run, as it is; one that failed before it came to anything leaves nothing."""
        os.close(self._lock)
        if error and not (self.folder / _METRICS).exists() and not self.checkpoint.exists():
            shutil.rmtree(self.folder, ignore_errors=True)


def start(runs: Path, recipe: str, catalog: str, output: str) -> Run:
    """Begin a run in a new folder of `runs`; `recipe` is the text of recipe.toml."""
    now = datetime.now(UTC)
    names = (f"{now:%Y%m%d-%H%M%S}" + (f"-{number}" if number > 1 else "") for number in count(1))
    with disk.writing(runs):
        runs.mkdir(parents=True, exist_ok=True)
        id = next(name for name in names if _made(runs / name))
    folder = runs / id
    record = RunRecord(id, now.isoformat(timespec="seconds"), catalog, output, versions=_versions())
    disk.write_text(folder / _RECIPE, recipe)
    _write(folder, record)
    return Run(folder, record)


def go_on_or_start(runs: Path, recipe: str, catalog: str, output: str) -> Run:
    """Take up the last run that stopped short of this very end; where there is none, begin one."""
    for record in reversed(list_runs(runs)):
        same = (record.state, record.catalog, record.output) == ("unfinished", catalog, output)
        if same and (runs / record.id / _RECIPE).read_text(encoding="utf-8") == recipe:
            return resume(runs, record.id)
    return start(runs, recipe, catalog, output)


def resume(runs: Path, id: str | None) -> Run:
    """Take up the run called `id`, or the last one that is unfinished; raises CannotRun where there is none."""
    known = {record.id: record for record in list_runs(runs)}
    unfinished = [record.id for record in known.values() if record.state == "unfinished"]
    if id is None and not unfinished:
        raise CannotRun(
            f"no run in {runs} was interrupted", hint="train without --resume; dmlcli status lists the runs"
        )
    chosen = id or unfinished[-1]
    if chosen not in known:
        raise CannotRun(f"there is no run {chosen} in {runs}", hint=nearest(chosen, list(known)) if known else "")
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
        progress.warn(f"run {chosen} may end differently than it would have: {', '.join(changed)}")
    return Run(runs / chosen, known[chosen])


def list_runs(runs: Path) -> list[RunRecord]:
    """The runs in a folder, oldest first; damaged ones are left out."""
    found = []
    for file in sorted(runs.glob(f"*/{_RECORD}")):
        try:
            values = disk.read_json(file)
            if values.pop("schema") == SCHEMA:
                found.append(RunRecord(**values))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda record: (record.started, record.id))


def is_going(folder: Path) -> bool:
    """Whether a process is at work on the run."""
    return disk.is_locked(folder / _LOCK)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a crash cut short is left out."""
    file = folder / _METRICS
    rows: list[dict[str, Any]] = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _made(folder: Path) -> bool:
    """Whether the folder is new; another process may have the same name in mind."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _locked(folder: Path) -> int:
    """A file descriptor that holds the run's lock; raises CannotRun where another process holds it."""
    try:
        return disk.lock(folder / _LOCK)
    except disk.Locked as error:
        raise CannotRun(f"run {folder.name} is still going in another process", hint="dmlcli status") from error


def _versions() -> dict[str, str]:
    """Of what decides over the last digits of a result."""
    return {name: version(name) for name in ("torch", "torchvision", "numpy")}


def _write(folder: Path, record: RunRecord) -> None:
    disk.write_json(folder / _RECORD, {"schema": SCHEMA} | asdict(record))


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
