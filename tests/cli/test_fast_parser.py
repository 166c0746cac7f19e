"""The quick way reads a command line as Typer does, or leaves it to Typer."""

import random
from pathlib import Path
from typing import Any

import pytest

from dmlcli.cli import app, error_handler, fast_parser
from dmlcli.commands.query import query
from dmlcli.report.query import QueryReport
from tests.conftest import Cli

WORDS: list[list[str]] = [
    ["a.jpg"],
    ["b.jpg"],
    ["-"],
    ["-k", "3"],
    ["--top-k=7"],
    ["--where", "price < 20"],
    ["--where="],
    ["--min-score", "0.5"],
    ["--min-score=auto"],
    ["--min-score", "-0.5"],
    ["--by", "product"],
    ["--by", "shelf"],
    ["--pool", "vote"],
    ["--rerank", "aqe:k=3"],
    ["--like", "mug"],
    ["--like", "-odd"],
    ["--vector", "v.npy"],
    ["--minus", "b.jpg"],
    ["--fuse"],
    ["--fuse=yes"],
    ["--crop", "1,2,3,4"],
    ["--files-from", "-"],
    ["--null"],
    ["--sheet", "s.png"],
    ["--html", "p.html"],
    ["--explain"],
    ["--index", "i"],
    ["-w", "there"],
    ["--workspace", "here"],
    ["--format", "jsonl"],
    ["--format", "xml"],
    ["-q"],
    ["-0"],
    ["-qk", "3"],
    ["-k3"],
    ["-k", "0"],
    ["-k", "x"],
    ["-k"],
    ["--nonsense"],
    ["--help"],
    ["--"],
    ["--to", "3"],
]


@pytest.fixture
def by_typer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What Typer hands to the command and to the edge; None where it does not come so far."""
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def guarded(command: Any, **edge: Any) -> int:
        own = command.__closure__[command.__code__.co_freevars.index("options")].cell_contents
        seen.append((own, edge))
        return 0

    monkeypatch.setattr(app, "guarded", guarded)

    def read(words: list[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        seen.clear()
        app.run(["query", *words])
        return seen[0] if seen else None

    return read


def given(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What differs from its default."""
    return {name: value for name, value in values.items() if value != defaults[name] and value != []}


@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_is_what_typer_reads(seed: int, by_typer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(seed)
    defaults = dict(query.__kwdefaults__ or {}) | {"images": None}
    terminal = {"format": None, "quiet": False, "debug": False, "show": False, "nul": False}
    both = 0
    for _ in range(60):
        words = [word for part in rng.sample(WORDS, rng.randrange(1, 5)) for word in part]
        ours = fast_parser.read(query, words)
        if ours is None:
            continue
        theirs = by_typer(words)
        assert theirs is not None, words
        assert given(ours[0], defaults) == given(theirs[0], defaults), words
        assert given(ours[1], terminal) == given({k: v for k, v in theirs[1].items() if k in terminal}, terminal), words
        both += 1
    assert both > 10


NOT_PLAIN = [
    ["--help"],
    ["a.jpg", "-h"],
    ["a.jpg", "-k", "0"],
    ["a.jpg", "-k"],
    ["a.jpg", "--forma", "json"],
    ["--", "a.jpg"],
    ["a.jpg", "--format", "xml"],
    ["a.jpg", "-k", "1.5"],
    ["a.jpg", "--fuse=1"],
    ["a.jpg", "-k", "٣"],
]


@pytest.mark.parametrize("words", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert fast_parser.read(query, words) is None


def test_options_that_come_from_the_environment_are_left_to_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fast_parser.read(query, ["a.jpg"]) is not None
    monkeypatch.setenv("DMLCLI_WORKSPACE", "w")
    assert fast_parser.read(query, ["a.jpg"]) is not None
    monkeypatch.setenv("DMLCLI_OTHER", "1")
    assert fast_parser.read(query, ["a.jpg"]) is None


def test_paths_are_paths_and_lists_gather() -> None:
    read = fast_parser.read(query, ["a.jpg", "--vector", "v.npy", "b.jpg", "--vector=w.npy", "-w", "x"])
    assert read == (
        {"images": ["a.jpg", "b.jpg"], "vector": [Path("v.npy"), Path("w.npy")], "workspace": Path("x")},
        {},
    )


# torch's error is recognized by its name, because the guard must not import torch
_OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {})


def test_every_way_to_fail_ends_in_a_code(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> QueryReport:
        raise error

    assert error_handler.guarded(lambda: fail(KeyboardInterrupt())) == 130
    assert error_handler.guarded(lambda: fail(MemoryError())) == 4
    assert error_handler.guarded(lambda: fail(_OutOfMemoryError())) == 4
    assert error_handler.guarded(lambda: fail(PermissionError(13, "Permission denied", "/x"))) == 4
    assert error_handler.guarded(lambda: fail(ZeroDivisionError("oops"))) == 70
    report = capsys.readouterr().err
    assert "Permission denied /x" in report and "ZeroDivisionError: oops" in report and "Traceback" not in report
