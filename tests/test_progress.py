"""The core is silent until somebody listens; warnings are never lost."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import pytest

from dmlcli import progress
from dmlcli.cli.progress_bar import Teller

T = TypeVar("T")


class Heard:
    def __init__(self) -> None:
        self.report: list[tuple[str, str | int | None]] = []

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        self.report.append((label, total))
        yield from items

    def note(self, message: str) -> None:
        self.report.append(("note", message))

    def warn(self, message: str) -> None:
        self.report.append(("warn", message))

    def learned(self, one: progress.Pass) -> None:
        self.report.append(("learned", one.number))

    def plan(self, seconds: Mapping[str, float]) -> None:
        self.report.append(("plan", len(seconds)))

    def stage(self, name: str, parts: int) -> None:
        self.report.append((name, parts))

    def parts(self, count: int) -> None:
        self.report.append(("parts", count))

    def expect(self, name: str, seconds: float) -> None:
        self.report.append((name, int(seconds)))


def test_python_users_hear_nothing_but_warnings(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track([1, 2], "counting")) == [1, 2]
    progress.note("nothing to see")
    with pytest.warns(UserWarning, match="mind the gap"):
        progress.warn("mind the gap")
    assert capfd.readouterr() == ("", "")


def test_a_listener_hears_all_of_it() -> None:
    heard = Heard()
    progress.listen(heard)
    assert list(progress.track("ab", "letters")) == ["a", "b"]
    assert list(progress.track(iter("ab"), "stream")) == ["a", "b"]
    assert list(progress.track(iter("ab"), "letters too", 2)) == ["a", "b"]
    progress.note("n")
    progress.warn("w")
    progress.learned(progress.Pass("head", 3, 20, 1.0, 1e-3, 1.0, {}, False, 100.0, 1.0))
    progress.plan({"load": 2.0, "index": 1.0})
    progress.stage("load", 2)
    progress.parts(3)
    progress.expect("index", 7.0)
    progress.stage("")
    assert [*progress.stage_seconds()] == ["load"]
    assert heard.report == [
        ("letters", 2),
        ("stream", None),
        ("letters too", 2),
        ("note", "n"),
        ("warn", "w"),
        ("learned", 3),
        ("plan", 2),
        ("load", 2),
        ("parts", 3),
        ("index", 7),
        ("", 1),
    ]


def test_a_terminal_is_warned_once_of_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    report = Teller(quiet=True)
    for message in ("mind the gap", "mind the gap", "mind the dog"):
        report.warn(message)
    assert capfd.readouterr().err == "dmlcli: warning: mind the gap\ndmlcli: warning: mind the dog\n"


def test_muted_work_is_not_heard_and_its_loops_run(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr(progress, "_listener", heard)
    with pytest.raises(ZeroDivisionError), progress.muted():
        assert list(progress.track([1, 2], "loop")) == [1, 2]
        progress.note("quiet")
        progress.warn("quiet")
        raise ZeroDivisionError
    progress.note("loud")
    assert heard.report == [("note", "loud")]
