"""The list of changes fits the code, and what its tests notice is reported apart from what they do not."""

import py_compile
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import mutants
from tests.mutants import BadList, Mutation, Trial
from tests.places import ROOT

LIST = mutants.read()


def test_there_are_at_least_sixty_changes() -> None:
    assert len(LIST) >= 60


@pytest.mark.parametrize("mutation", LIST, ids=lambda one: one.name)
def test_each_change_can_be_made_and_has_tests(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert mutation.changed(text) != text
    for test in mutation.tests:
        file, _, name = test.partition("::")
        tests = (ROOT / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {name}\(", tests, re.MULTILINE), f"there is no test {test}"


SUM = "def total(values):\n    return sum(values)\n"


def change(**others: object) -> Mutation:
    settings = {"file": "code_of_mine.py", "old": "sum(values)", "new": "max(values)", "harm": "wrong sums"}
    return Mutation(**{"name": "a", "tests": ("test_mine.py",), **settings, **others})  # type: ignore[arg-type]


def ran(root: Path, tests: Sequence[str], _: float) -> tuple[int, str]:
    """What pytest would answer, without its start: 0 passed, 1 failed, 2 an import failed, 4 there is no such test."""
    names: dict[str, Any] = {}
    try:
        exec((root / "code_of_mine.py").read_text(), names)
    except SyntaxError:
        return 2, "SyntaxError"
    return {"test_mine.py": int(names["total"]([2, 3]) != 5), "test_weak.py": 0}.get(
        tests[0], 4
    ), "the end of the output"


def trial(root: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    (root / "code_of_mine.py").write_text(SUM)
    monkeypatch.setattr(mutants, "run", ran)
    return Trial(root, 60)


def test_changes_are_killed_or_survive_and_the_file_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = trial(tmp_path, monkeypatch)
    assert tried.is_killed(change())
    assert not tried.is_killed(change(tests=("test_weak.py",)))
    assert (tmp_path / "code_of_mine.py").read_text() == SUM


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"old": "product(values)"}, "a: the old text occurs 0 times in code_of_mine.py"),
        ({"old": "values"}, "a: the old text occurs 2 times"),
        ({"new": "sum(values)"}, "a: old and new are the same"),
        ({"file": "gone.py"}, "a: there is no file gone.py"),
        ({"tests": ("test_gone.py",)}, "a: its tests do not pass without the change"),
        ({"new": "sum(values"}, "a: its tests cannot be run with the change"),
    ],
)
def test_a_change_that_does_not_fit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: dict[str, object], reason: str
) -> None:
    with pytest.raises(BadList, match=re.escape(reason)):
        trial(tmp_path, monkeypatch).is_killed(change(**others))
    assert (tmp_path / "code_of_mine.py").read_text() == SUM


def test_the_compiled_form_of_a_file_goes_with_its_text(tmp_path: Path) -> None:
    """After a change of the same length within a second, Python would take the old one for that of the new text."""
    file = tmp_path / "code_of_mine.py"
    file.write_text(SUM)
    compiled = py_compile.compile(str(file))
    mutants.put(file, SUM.replace("sum(", "max("))
    assert compiled is not None and not Path(compiled).exists() and "max(" in file.read_text()


def test_all_tests_are_checked_in_one_run_and_else_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, runs = trial(tmp_path, monkeypatch), []

    def counted(root: Path, tests: Sequence[str], limit: float) -> tuple[int, str]:
        runs.append(tuple(tests))
        return max(ran(root, [test], limit) for test in tests)

    monkeypatch.setattr(mutants, "run", counted)
    weak, strong, gone = (change(tests=(f"test_{name}.py",)) for name in ("weak", "mine", "gone"))
    tried.check_passing([weak, strong])
    assert tried.is_killed(strong) and not tried.is_killed(weak)
    assert runs == [("test_mine.py", "test_weak.py"), ("test_mine.py",), ("test_weak.py",)]
    other = Trial(tmp_path, 60)
    other.check_passing([weak, gone])
    assert not other.is_killed(weak)
    with pytest.raises(BadList, match="its tests do not pass"):
        other.is_killed(gone)


def test_an_entry_that_lacks_something_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.toml").write_text('[fsync]\nfile = "a.py"\n')
    with pytest.raises(BadList, match="fsync: an entry has"):
        mutants.read(tmp_path / "list.toml")
