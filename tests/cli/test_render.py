"""What people and scripts see: whole tables, values that cannot break a line, everything skipped listed once."""

import json
from importlib import import_module
from pkgutil import iter_modules

import pytest

from dmlcli import progress
from dmlcli import report as report_package
from dmlcli.cli import render
from dmlcli.cli import views as views_package
from dmlcli.cli.progress_bar import Teller
from dmlcli.errors import CannotRun
from dmlcli.report.embed import EmbedReport
from dmlcli.report.eval import EvalReport
from dmlcli.report.query import Answer, Hit, QueryReport
from dmlcli.report.skipped import Skipped
from dmlcli.report.train import TrainReport


@pytest.fixture(autouse=True)
def _listening() -> None:
    """As on the command line, which prints notes and warnings."""
    progress.listen(Teller())


HITS = (Hit(1, 0.91234567, "mug [red]", "a/b.jpg"), Hit(2, -0.5, "", "c.jpg"))


def query(*answers: Answer, skipped: int = 0) -> QueryReport:
    return QueryReport("/i", answers, [Skipped(f"{n}.jpg", "why not") for n in range(skipped)])


def evaluation(**metrics: float | None) -> EvalReport:
    spans = {name: None if value is None else (value / 2, value) for name, value in metrics.items()}
    return EvalReport("leave-one-out", 9, 9, 3, 2, 1, dict(metrics), spans, None, 0, "once", warnings=("mind the gap",))


def test_every_report_has_a_view_of_its_name() -> None:
    views = {name: import_module(f"dmlcli.cli.views.{name}") for _, name, _ in iter_modules(views_package.__path__)}
    reports = {name for _, name, _ in iter_modules(report_package.__path__)} - {
        "error",
        "error_analysis",
        "skipped",
        "units",
    }
    assert reports == set(views) and all(callable(view.show) for view in views.values())


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (query(Answer("q", HITS)), 0),
        (query(Answer("q", ()), Answer("q", HITS)), 0),
        (query(Answer("q", ())), 1),
        (query(), 1),
        (query(Answer("q", HITS), skipped=1), 3),
        (query(skipped=2), 3),
    ],
)
@pytest.mark.parametrize("format", ["table", "tsv", "csv", "jsonl", "json", "paths"])
def test_the_exit_code_says_how_it_went(report: QueryReport, code: int, format: str) -> None:
    assert render.show(report, format) == code


def test_a_table_takes_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are no markup, a product without name is a dash."""
    render.show(query(Answer("[bold]q[/bold].jpg", HITS)), "table")
    shown = capsys.readouterr().out
    assert "[bold]q[/bold].jpg" in shown and "mug [red]" in shown and "0.912" in shown and "-0.500" in shown


def test_scores_have_six_digits(capsys: pytest.CaptureFixture[str]) -> None:
    render.show(query(Answer("q", HITS)), "tsv")
    assert capsys.readouterr().out == "q\t1\t0.912346\tmug [red]\ta/b.jpg\nq\t2\t-0.500000\t\tc.jpg\n"
    render.show(query(Answer("q", HITS)), "jsonl")
    assert json.loads(capsys.readouterr().out)["hits"][0]["score"] == 0.912346


def test_skipped_inputs_are_grouped_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    skipped = tuple(Skipped(f"{n}.jpg", f"reason {n % 2}") for n in range(30))
    report = EmbedReport("e", 5, 5, 8, "float32", "", "m", skipped)
    assert render.show(report, None) == 3
    shown = capsys.readouterr()
    assert shown.err.count("skipped 15") == 2 and "and 5 more" in shown.err and "skipped" not in shown.out
    assert render.show(report, "json") == 3
    assert len(json.loads(capsys.readouterr().out)["skipped"]) == 30


def test_an_evaluation_shows_scores_in_percent_and_dashes_for_none(capsys: pytest.CaptureFixture[str]) -> None:
    render.show(evaluation(**{"recall@1": 0.5, "map@r": None}), None)
    shown = capsys.readouterr()
    assert "Recall@1" in shown.out and "50.0 %" in shown.out and "25.0 - 50.0 %" in shown.out and "MAP@R" in shown.out
    assert "left out of the means: 1 query without a relevant image" in shown.err
    assert "trained on 2" in shown.err and "dmlcli: warning: mind the gap" in shown.err
    assert "once" not in shown.err  # what is wrong with the model is shown when it is made, and by status


def test_json_has_a_schema_and_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    render.show(evaluation(**{"recall@1": 0.5, "map@r": None}), "json")
    text = capsys.readouterr().out
    report = json.loads(text)
    assert report["schema"] == 1 and report["metrics"] == {"recall@1": 0.5, "map@r": None} and "NaN" not in text
    assert report["interval95"] == {"recall@1": [0.25, 0.5], "map@r": None}


def test_a_training_shows_the_gain(capsys: pytest.CaptureFixture[str]) -> None:
    report = TrainReport("run", "m", "print", 100, 1, "how", 0.4, 0.55, "epoch 3", 200, "i")
    assert render.show(report, None) == 0
    shown = capsys.readouterr()
    assert "55.0 %" in shown.out and "40.0 %" in shown.out and "+15.0" in shown.out
    assert "100 images of 1 product\n" in shown.out and "3.3 min" in shown.out and "next: dmlcli query" in shown.err


def test_an_error_has_a_hint_and_a_json_twin() -> None:
    assert render.error_text("what", "type this", 4, None) == "dmlcli: error: what\nhint: type this"
    assert render.error_text("what", "", 4, "table") == "dmlcli: error: what"
    report = json.loads(render.error_text("wåt", "h", 2, "jsonl"))
    assert report == {"schema": 1, "error": "wåt", "hint": "h", "exit_code": 2}


def test_quiet_silences_notes_and_no_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    progress.listen(Teller(quiet=True))
    render.show(evaluation(**{"recall@1": 0.5}), None)
    assert capsys.readouterr().err == "dmlcli: warning: mind the gap\n"


def test_a_closed_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)  # as Python leaves it after >&-
    with pytest.raises(CannotRun, match="standard output is closed"):
        render.show(query(Answer("q", HITS)), "tsv")


def test_a_closed_stderr_does_not_send_notes_to_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    progress.listen(Teller())
    assert render.show(query(Answer("q", HITS), skipped=1), "tsv") == 3
    assert len(capsys.readouterr().out.splitlines()) == 2
