"""Every report full of hostile names, in every format: nothing that a terminal obeys gets through."""

import dataclasses
import io
import json
import os
import re
import types
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from rich.progress import TextColumn

from dmlcli import progress
from dmlcli import report as report_package
from dmlcli.cli import formatting, global_options, live_table, render
from dmlcli.cli.progress_bar import Teller
from dmlcli.learn.recipe import Recipe
from dmlcli.report import units
from tests.conftest import Cli, Mission, make_shop, process

HOSTILE = "a\x1b[31mb\rc\nd\u0085e\u202ef\u200bg\udcff[/bold]" + "long" * 75
ACTS = {"\u200b", "\x1b", "\r", "\u0085", "\u202e", "\u2028", "\udcff"}
NAMES = ("map@r", "recall@1", "images", "dim", "root", "model", "chosen", "frozen")  # in dicts
RECORDS = {  # others are called after their file
    "train_plan": "PlanReport",
    "eval_plan": "EvalPlan",
    "compare_backbones": "CompareBackbonesReport",
    "models_diff": "ModelsDiffReport",
    "models_use": "ModelsUseReport",
}


def hostile(kind: Any) -> Any:
    """A value of a type, with hostile text wherever there is text."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is str or kind is Any:
        return HOSTILE
    if origin in (Union, types.UnionType):
        return hostile(parts[0])
    if origin is Literal:
        return parts[0]
    if origin is tuple:
        return (hostile(parts[0]), other(hostile(parts[0]))) if parts[-1] is Ellipsis else tuple(map(hostile, parts))
    if origin in (list, Iterable):
        return [hostile(parts[0])]
    if origin in (dict, Mapping):
        return {name: hostile(parts[1]) for name in NAMES}
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        return kind(**{name: hostile(part) for name, part in get_type_hints(kind, localns=vars(units)).items()})
    return {int: 2, float: 0.5, bool: True, type(None): None}.get(kind)


def other(value: Any) -> Any:
    """The same with another image: a path is printed once."""
    return dataclasses.replace(value, image=f"{HOSTILE}2") if hasattr(value, "image") else value


def reports() -> list[tuple[str, str | None]]:
    """Every report with every format that is printed."""
    beside = ("error", "error_analysis", "skipped", "units")  # what no command returns
    rooms = [name for _, name, _ in iter_modules(report_package.__path__) if name not in beside]
    listed = []
    for room in rooms:
        command = re.sub("_(plan|backbones|use|diff)$", "", room)
        formats = [None, *get_args(get_args(global_options.printing(command)["format"][0])[0])]
        listed += [
            (room, format)
            for kind in formats
            for format in (get_args(kind) or (kind,))
            if format not in (type(None), "xlsx") and not (room.endswith("_plan") and format not in (None, "json"))
        ]
    return listed


@pytest.mark.parametrize(("room", "format"), reports())
def test_no_report_acts_on_the_terminal(
    room: str, format: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module(f"dmlcli.report.{room}")
    named = RECORDS.get(room, f"{room.title()}Report")
    report = hostile(getattr(module, named))
    if room == "train_plan":
        recipe = vars(Recipe()) | dict.fromkeys(("loss", "backbone", "tune", "clip"), HOSTILE)
        report = dataclasses.replace(report, recipe=recipe)
    if room == "losses":
        one = report.losses[0]
        report = dataclasses.replace(report, losses=(dataclasses.replace(one, formula="x"), one))
    progress.listen(Teller())
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    render.show(report, format)
    shown, err = out.getvalue(), capsys.readouterr().err
    assert not {*err} & ACTS, err
    if format == "paths":
        assert HOSTILE in shown
        return
    assert not {*shown} & ACTS, shown
    if format == "json":
        assert HOSTILE in strings(json.loads(shown))


def strings(value: Any) -> set[str]:
    """All text in a value of JSON."""
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(strings, parts))


def test_a_path_goes_out_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    def ascii_only(path: str) -> bytes:
        return path.encode("ascii", "surrogateescape")

    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    formatting.path("a\x1b\r\udcff=.jpg", "\0")
    monkeypatch.setattr("os.fsencode", ascii_only)  # as in a locale without UTF-8
    formatting.path("名\udcff", "\n")
    assert out.buffer.getvalue() == b"a\x1b\r\xff=.jpg\0" + "名".encode() + b"\xff\n"


def test_errors_hints_notes_warnings_and_progress_are_safe(capsys: pytest.CaptureFixture[str]) -> None:
    text = render.error_text(HOSTILE, HOSTILE, 4, None)
    assert not {*text} & ACTS and text.count("\n") == 1
    teller = Teller()
    teller.note(HOSTILE)
    teller.warn(HOSTILE)
    shown = capsys.readouterr().err
    assert not {*shown} & ACTS and shown.count("\n") == 2
    bar = live_table.bar()
    bar.add_task("[/x]", total=1)
    column = bar.columns[0]
    assert isinstance(column, TextColumn) and column.render(bar.tasks[0]).plain == "[/x]"


def test_a_query_by_hostile_files_prints_one_line_a_hit(cli: Cli, tmp_path: Path, mission: Mission) -> None:
    model = mission.workspace / "model"
    shop = make_shop(tmp_path / "shop")
    odd = os.fsdecode(b"=cmd\x1b[2J\r\xff")
    (shop / "product-00").rename(shop / odd)
    assert cli("index", shop, "--model", model, "-w", tmp_path / "w").code == 0
    asked = ("query", shop / odd / "0.png", "-k", "1", "-w", tmp_path / "w", "--model", model)
    done = process(*asked, "--format", "tsv", cwd=tmp_path)
    query, _, _, product, image = done.stdout.decode().removesuffix("\n").split("\t")
    assert product == "'=cmd\\x1b[2J\\r\\xff" and query == f"{shop}/=cmd\\x1b[2J\\r\\xff/0.png"
    assert image == "shop/=cmd\\x1b[2J\\r\\xff/0.png"
    assert json.loads(process(*asked, "--format", "jsonl", cwd=tmp_path).stdout.decode())["hits"][0]["product"] == odd
    paths = process(*asked, "--format", "paths", cwd=tmp_path).stdout
    assert paths == b"shop/" + os.fsencode(odd) + b"/0.png\n"
    ascii_only = process(*asked, "--format", "table", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert ascii_only.returncode == 0 and "\\x1b" in ascii_only.stdout.decode("utf-8")
