"""The table of a training that goes on: what is done, what is best, what is left."""

import io

import pytest
from rich.console import Console

from dmlcli.cli import live_table
from dmlcli.cli.progress_bar import Teller
from dmlcli.progress import Pass


def one(number: int, score: float = 0.5, best: bool = False, depth: str = "head") -> Pass:
    scores = {"seen": (score, (score - 0.02, score + 0.04)), "unseen": (score / 2, None)}
    return Pass(depth, number, 20, 3.25, 1e-3, 0.75, scores, best, 412.0, 3.0)


def drawn(table: live_table.LiveTable, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table._drawn())
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_a_row_for_each_pass(width: int) -> None:
    table = live_table.LiveTable()
    try:
        for number in range(1, 15):
            table.add(one(number, best=number == 2))
        rows = drawn(table, width)
    finally:
        table.close()
    assert "MAP@R seen" in rows[1] and "img/s" in rows[1]
    shown = [row.split()[0] for row in rows if "/20" in row]
    assert shown == ["2/20", *(f"{number}/20" for number in range(5, 15))]  # the best, and the last ten
    assert "50.0 ±3.0" in rows[-2] and "25.0" in rows[-2] and "75 %" in rows[-2] and "412" in rows[-2]
    assert rows[-2].split()[-1].count(":") == 1 and ":" not in rows[-3].split()[-1]  # what is left


def test_what_is_at_work_stands_below() -> None:
    table = live_table.LiveTable()
    try:
        table.add(one(1))
        following = table.track(range(4), "epoch 2", 4)
        next(following)
        next(following)
        assert "epoch 2" in drawn(table)[-1] and "1/4" in drawn(table)[-1]
        assert list(following) == [2, 3] and "epoch 2" not in drawn(table)[-1]
    finally:
        table.close()


def test_off_a_terminal_a_pass_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    teller.learned(one(3, best=True))
    report = capsys.readouterr().err
    assert report.startswith("head, epoch 3/20  loss   3.2500") and report.count("\n") == 1
    assert "seen products 50.0 ±3.0 %, unseen products 25.0 % *" in report and "412 images/s" in report
    Teller(quiet=True).learned(one(3))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "report"), [(0, "0:00"), (42, "0:42"), (725, "12:05"), (3753, "1:02:33")])
def test_times_are_reported_as_clocks_do(seconds: float, report: str) -> None:
    assert live_table.duration(seconds) == report
