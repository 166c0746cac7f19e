"""The noun Run: started, followed, broken off, taken up again; changes are noticed and named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dmlcli import progress, runs
from dmlcli.errors import CannotRun, MismatchError


def started(folder: Path) -> runs.Run:
    return runs.start(folder, "epochs = 3\n", "catalog", "model")


def test_a_run_is_followed_line_by_line(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.told({"trial": "closed form"})
        run.told({"trial": "epoch 1", "epoch": 1, "map@r": None})
    assert [row["trial"] for row in runs.read_metrics(run.folder)] == ["closed form", "epoch 1"]
    assert run.recipe.read_text() == "epochs = 3\n"


def test_runs_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    names = {started(tmp_path).record.id for _ in range(3)}
    assert len(names) == 3 and sorted(names) == sorted(record.id for record in runs.list_runs(tmp_path))


def test_epochs_that_are_run_again_count_once(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.told({"trial": "closed form"})
        for number in range(1, 5):
            run.told({"trial": f"epoch {number}", "epoch": number, "loss": 1.0})
    with (run.folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"trial": "epoch 5", "ep')  # killed in the middle of a line
    with runs.resume(tmp_path, None) as again:
        again.told({"trial": "closed form"})
        for number in (3, 4, 5):
            again.told({"trial": f"epoch {number}", "epoch": number, "loss": 2.0})
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
        run.told({"trial": "epoch 1", "epoch": 1})
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


def test_changes_of_the_catalogue_are_named(tmp_path: Path) -> None:
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
    assert runs.is_going(tmp_path / record.id)
    with pytest.raises(CannotRun, match="still going"), runs.resume(tmp_path, None):
        pass
    other.kill()
    other.communicate()
    assert not runs.is_going(tmp_path / record.id)
    with runs.resume(tmp_path, None) as run:
        assert run.record.id == record.id


def test_other_versions_are_told(tmp_path: Path) -> None:
    class Heard(progress.Silent):
        def warn(self, message: str) -> None:
            told.append(message)

    told: list[str] = []
    with started(tmp_path) as run:
        file = run.folder / "run.json"
    values = json.loads(file.read_text())
    values["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(values))
    progress.listen(Heard())
    runs.resume(tmp_path, None)
    assert "torch 1.0 is now" in told[0]


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
    assert not runs.is_going(folder) and sorted(folder.iterdir()) == before
