"""The noun Run: started, followed, broken off, taken up again; changes are noticed and named."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dmlcli import progress, runs
from dmlcli.errors import CannotRun, MismatchError


def started(folder: Path) -> runs.Run:
    return runs.start(folder, "epochs = 3\n", "catalog", folder.parent / "model")


def test_a_run_is_followed_line_by_line(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.log({"candidate": "LDA head"})
        run.log({"candidate": "epoch 1", "epoch": 1, "map@r": None})
    assert [row["candidate"] for row in runs.read_metrics(run.folder)] == ["LDA head", "epoch 1"]
    assert run.recipe.read_text() == "epochs = 3\n"


def test_runs_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    names = {started(tmp_path).record.id for _ in range(3)}
    assert len(names) == 3 and sorted(names) == sorted(record.id for record in runs.list_runs(tmp_path))


def test_epochs_that_are_run_again_count_once(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.log({"candidate": "LDA head"})
        for number in range(1, 5):
            run.log({"candidate": f"epoch {number}", "epoch": number, "loss": 1.0})
    with (run.folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"candidate": "epoch 5", "ep')  # killed in the middle of a line
    with runs.resume(tmp_path, None) as again:
        again.log({"candidate": "LDA head"})
        for number in (3, 4, 5):
            again.log({"candidate": f"epoch {number}", "epoch": number, "loss": 2.0})
    rows = runs.read_metrics(run.folder)
    assert [(row.get("epoch"), row.get("loss")) for row in rows] == [
        (None, None),
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 2),
        (5, 2),
    ]


def test_a_run_that_is_done_keeps_its_story_and_cannot_go_on(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.check_images({"a.jpg": ["mug"]})
        run.checkpoint.write_bytes(b"state")
        run.log({"candidate": "epoch 1", "epoch": 1})
    run.finish({"score": 0.5})
    assert {file.name for file in run.folder.iterdir()} == {"run.json", "recipe.toml", "metrics.jsonl"}
    (record,) = runs.list_runs(tmp_path)
    assert (record.state, record.result) == ("done", {"score": 0.5})
    with pytest.raises(CannotRun, match="is done") as caught:
        runs.resume(tmp_path, record.id)
    assert f"--recipe {run.recipe}" in caught.value.hint
    with pytest.raises(CannotRun, match="was interrupted"):
        runs.resume(tmp_path, None)


def test_a_run_that_failed_before_it_came_to_anything_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), started(tmp_path):
        raise ZeroDivisionError
    assert runs.list_runs(tmp_path) == []


def test_changes_of_the_catalog_are_named(tmp_path: Path) -> None:
    images = {f"{number}.jpg": ["mug", "", "", "abc"] for number in range(5)}
    with started(tmp_path) as run:
        run.check_images(images)
        run.check_images(dict(images))
        changed = {"new.jpg": ["mug", "", "", "x"], **images, "1.jpg": ["cup", "", "", "abc"]}
        del changed["0.jpg"]
        with pytest.raises(MismatchError) as caught:
            run.check_images(changed)
    assert "1 new (new.jpg), 1 gone (0.jpg), 1 changed (1.jpg)" in str(caught.value)


def test_an_unknown_run_is_answered_with_the_nearest(tmp_path: Path) -> None:
    id = started(tmp_path).record.id
    with pytest.raises(CannotRun) as caught:
        runs.resume(tmp_path, id + "x")
    assert id in caught.value.hint


def test_a_run_in_other_hands_is_not_taken_up(tmp_path: Path) -> None:
    """The lock is the system's: it goes when the process does, also when that is killed."""
    code = (
        "import sys; from tests.test_runs import *; run = started(Path(sys.argv[1]))\n"
        "with run: print('up', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert other.stdout is not None and other.stdout.readline() == b"up\n"
    (record,) = runs.list_runs(tmp_path)
    assert runs.is_running(tmp_path / record.id)
    with pytest.raises(CannotRun, match="still running"), runs.resume(tmp_path, None):
        pass
    other.kill()
    other.communicate()
    assert not runs.is_running(tmp_path / record.id)
    with runs.resume(tmp_path, None) as run:
        assert run.record.id == record.id


def test_other_versions_are_reported(tmp_path: Path) -> None:
    class Heard(progress.Silent):
        def warn(self, message: str) -> None:
            report.append(message)

    report: list[str] = []
    with started(tmp_path) as run:
        file = run.folder / "run.json"
    values = json.loads(file.read_text())
    values["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(values))
    progress.listen(Heard())
    runs.resume(tmp_path, None)
    assert "torch 1.0 is now" in report[0]


def test_in_a_copied_or_moved_workspace_the_model_goes_there(tmp_path: Path) -> None:
    first, copy = tmp_path / "first" / ".dmlcli", tmp_path / "copy" / ".dmlcli"
    (first / "runs").mkdir(parents=True)
    (first / "model").mkdir()
    run = runs.start(first / "runs", "", "catalog", first / "model")
    assert run.output == first / "model"
    shutil.copytree(first, copy, ignore=shutil.ignore_patterns("model"))
    assert runs.resume(copy / "runs", None).output == copy / "model"
    first.rename(tmp_path / "moved")
    assert runs.resume(tmp_path / "moved" / "runs", None).output == tmp_path / "moved" / "model"


def test_an_output_outside_a_workspace_that_was_copied_is_required_again(tmp_path: Path) -> None:
    (tmp_path / "first" / "runs").mkdir(parents=True)
    run = runs.start(tmp_path / "first" / "runs", "", "catalog", tmp_path / "model")
    assert run.output == tmp_path / "model"
    shutil.copytree(tmp_path / "first", tmp_path / "deep" / "copy")
    with pytest.raises(CannotRun, match="was moved") as caught:
        _ = runs.resume(tmp_path / "deep" / "copy" / "runs", None).output
    assert "-o DIR" in caught.value.hint


def test_the_output_does_not_depend_on_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    runs.start(Path("w/runs"), "", "catalog", Path("w/model"))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert runs.resume(Path("../w/runs"), None).output == tmp_path / "w" / "model"


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.log({"candidate": "epoch 1", "epoch": 1, "loss": float("nan"), "interval95": {"new": (0.1, float("inf"))}})
    text = (run.folder / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["loss"] is None and '"new": [0.1, null]' in text


@pytest.mark.parametrize("line", [b"\xff\xfe\x00", b"{", b"[1]", b"3"])
def test_a_damaged_line_of_metrics_is_named_when_the_run_is_resumed(tmp_path: Path, line: bytes) -> None:
    with started(tmp_path) as run:
        run.log({"candidate": "LDA head"})
        run.log({"candidate": "epoch 1", "epoch": 1})
    file = run.folder / "metrics.jsonl"
    first, second = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([first, line, second, b""]))
    with pytest.raises(CannotRun, match=r"metrics\.jsonl is damaged \(line 2"):
        runs.resume(tmp_path, None)
    assert len(runs.read_metrics(run.folder)) == 1
    file.write_bytes(b"\n".join([first, second, line]))
    assert len(runs.read_metrics(runs.resume(tmp_path, None).folder)) == 2


@pytest.mark.parametrize("text", ["", "{", '{"a.jpg": ["mug"', "[]"])
def test_a_cut_list_of_images_is_named(tmp_path: Path, text: str) -> None:
    with started(tmp_path) as run:
        run.check_images({"a.jpg": ["mug"]})
        (run.folder / "images.json").write_text(text)
        with pytest.raises(CannotRun, match=r"images\.json is damaged"):
            run.check_images({"a.jpg": ["mug"]})


@pytest.mark.parametrize(
    "change", [{"output": "model"}, {"versions": None}, {"catalog": 3}, {"result": []}, {"id": ""}]
)
def test_a_damaged_record_is_named_when_it_is_to_be_resumed(tmp_path: Path, change: dict[str, Any]) -> None:
    file = started(tmp_path).folder / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert runs.list_runs(tmp_path) == []
    for id in (None, file.parent.name):
        with pytest.raises(CannotRun, match=r"run\.json is damaged"):
            runs.resume(tmp_path, id)


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt, True), (SystemExit, True), (ValueError, False)])
def test_a_run_that_is_interrupted_before_it_came_to_anything_stays(
    tmp_path: Path, error: type[BaseException], kept: bool
) -> None:
    with pytest.raises(error), started(tmp_path):
        raise error
    assert len(runs.list_runs(tmp_path)) == kept


def test_damaged_runs_are_left_out(tmp_path: Path) -> None:
    started(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text("{")
    assert len(runs.list_runs(tmp_path)) == 1


def test_a_lock_that_is_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    run = started(tmp_path)
    (tmp_path / "precious").write_text("mine")
    (run.folder / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(CannotRun, match="symbolic link"), run:
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_looking_at_a_run_changes_nothing(tmp_path: Path) -> None:
    folder = started(tmp_path).folder
    before = sorted(folder.iterdir())
    assert not runs.is_running(folder) and sorted(folder.iterdir()) == before
