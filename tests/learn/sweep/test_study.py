"""The trials of a sweep: counted over processes, continued after a kill, and never lost."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dmlcli.errors import CannotRun
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.sweep.space import Space
from dmlcli.learn.sweep.study import FILE, Pruned, Study

SPACE = Space(Recipe(dim=8), ("proxy-anchor", "triplet"))
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.learn.sweep.test_study import SPACE, Study
study = Study(Path(sys.argv[1]), SPACE, "tpe", 1)
for number in range(int(sys.argv[2])):
    trial = study.next(9)
    if number < int(sys.argv[2]) - 1:
        study.end(trial, 0.5 + number / 100)
print(trial.recipe.learning_rate, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def study(folder: Path, method: str = "tpe", warmup: int = 1) -> Study:
    return Study(folder, SPACE, method, warmup)  # type: ignore[arg-type]


def killed(folder: Path, trials: int) -> float:
    """The learning rate of the trial at which a process was killed, the last of so many."""
    done = subprocess.run([sys.executable, "-c", KILLED, folder, str(trials)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return float(done.stdout)


def test_the_default_recipe_is_tried_first_and_never_pruned(tmp_path: Path) -> None:
    own = study(tmp_path)
    first = own.next(3)
    assert first is not None and first.is_base and first.recipe == SPACE.base
    for step in range(1, 9):
        first.report(step, -1.0)
    own.end(first, 0.1)
    second = own.next(3)
    assert second is not None and not second.is_base and second.recipe != SPACE.base
    own.end(second, 0.2)
    assert [(one.number, one.score, one.is_default) for one in own.trials()] == [(1, 0.2, False), (0, 0.1, True)]
    assert own.recipe(1) == second.recipe and own.trials()[0].changed == {
        name: value for name, value in vars(second.recipe).items() if value != getattr(SPACE.base, name, value)
    }


def test_a_trial_below_the_median_is_pruned_after_the_warmup(tmp_path: Path) -> None:
    own = study(tmp_path, warmup=2)
    for _ in range(6):
        trial = own.next(9)
        assert trial is not None
        for step in range(1, 5):
            trial.report(step, 0.5)
        own.end(trial, 0.5)
    worse = own.next(9)
    assert worse is not None
    worse.report(1, 0.1)
    with pytest.raises(Pruned):
        worse.report(2, 0.1)
    own.end(worse)
    assert own.trials()[-1].outcome == "pruned" and own.trials()[-1].score is None


def test_trials_are_counted_over_all_runs_with_those_that_failed(tmp_path: Path) -> None:
    own = study(tmp_path)
    for _ in range(2):
        trial = own.next(3)
        assert trial is not None
        own.end(trial, trouble="training diverged")
    again = study(tmp_path)
    last = again.next(3)
    assert last is not None and again.next(3) is None  # the one that runs counts
    again.end(last, 0.5)
    assert again.next(3) is None and [one.trouble for one in again.trials()][1:] == ["training diverged"] * 2


@pytest.mark.parametrize("done", [0, 2])
def test_a_trial_whose_process_was_killed_is_tried_again(tmp_path: Path, done: int) -> None:
    rate = killed(tmp_path, done + 1)
    own = study(tmp_path)
    assert len(own.trials()) == done
    again = own.next(done + 1)
    assert again is not None and again.recipe.learning_rate == rate and again.is_base is (done == 0)
    own.end(again, 0.9)
    assert len(own.trials()) == done + 1 and own.next(done + 1) is None
    assert not list(tmp_path.glob("trial-*.lock"))


def test_two_processes_share_the_trials_and_draw_different_ones(tmp_path: Path) -> None:
    one, other = study(tmp_path), study(tmp_path)
    drawn = []
    for own in (one, other, one, other):
        trial = own.next(4)
        assert trial is not None
        drawn.append((own, trial))
    assert one.next(4) is None and other.next(4) is None
    assert len({trial.recipe.learning_rate for _, trial in drawn}) == 4
    for own, trial in drawn:
        own.end(trial, 0.5)
    assert [row.number for row in one.trials()] == [0, 1, 2, 3]


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_a_sweep_that_is_continued_draws_what_one_without_a_break_draws(tmp_path: Path, method: str) -> None:
    rates: list[list[float]] = []
    for breaks in (False, True):
        folder = tmp_path / str(breaks)
        own, found = study(folder, method), []
        for number in range(14):  # TPE begins to learn after ten
            own = study(folder, method) if breaks and number in (4, 12) else own
            trial = own.next(14)
            assert trial is not None
            own.end(trial, 0.5 - abs(trial.recipe.learning_rate - 0.002) - number / 1000)
            found.append(trial.recipe.learning_rate)
        rates.append(found)
    assert rates[0] == rates[1] and len({*rates[0]}) == 14


def test_the_setting_that_decides_is_the_most_important(tmp_path: Path) -> None:
    own = study(tmp_path, "random")
    assert own.importance() == {}
    while (trial := own.next(30)) is not None:
        own.end(trial, 0.5 - 10 * abs(trial.recipe.weight_decay - 1e-4))
    shares = own.importance()
    assert next(iter(shares)) == "weight_decay" and sum(shares.values()) == pytest.approx(1)
    assert "loss" in shares and not any(":" in name for name in shares)


def test_a_damaged_file_is_reported_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database, but a text that is long enough to be read as one" * 20)
    with pytest.raises(CannotRun, match=r"study\.db") as raised:
        study(tmp_path)
    assert str(tmp_path) in raised.value.hint


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    folder = tmp_path / "a?b=%20#c"
    trial = study(folder).next(1)
    assert trial is not None and (folder / FILE).is_file() and [*tmp_path.iterdir()] == [folder]
    trial.release()
