"""The page of a sweep shows what it is given, whole, and escapes what comes from outside."""

from dataclasses import replace
from pathlib import Path

from dmlcli.pages import sweep
from dmlcli.report.models_diff import ScoreDifference
from dmlcli.report.sweep import SweepReport, SweepTrial

TRIALS = (
    SweepTrial(2, "finished", 0.75, {"loss": "triplet:margin=0.3", "dim": 128}, False, 2.0, ""),
    SweepTrial(0, "finished", 0.625, {}, True, 3.0, ""),
    SweepTrial(1, "pruned", None, {"dim": 64}, False, 1.0, ""),
)
REPORT = SweepReport(
    images=100,
    products=10,
    folds="3 folds",
    held_out="40 images of 5 unseen products",
    trials=TRIALS,
    importance={"loss": 0.75, "dim": 0.25},
    recipe={},
    changed={},
    file="best.toml",
    chosen="epoch 3",
    default_chosen="LDA head",
    differences=(ScoreDifference("unseen", "map@r", 0.5, 0.4, 0.1, (0.05, 0.15), True),),
    better=True,
    why="the best recipe is significantly better",
    seconds=60.0,
)


def test_scores_importance_and_trials(tmp_path: Path) -> None:
    sweep.write(tmp_path / "page.html", REPORT, "<b>shop</b>")
    text = (tmp_path / "page.html").read_text()
    for shown in ("75.0 %", "62.5 %", "+10.0", "5.0 … 15.0", "epoch 3", "1 pruned, 0 failed", "width: 75.0%"):
        assert shown in text
    assert "loss = triplet:margin=0.3, dim = 128" in text and "the default recipe" in text
    assert text.count("<polyline") == 2 and "&lt;b&gt;shop&lt;/b&gt;" in text and "<b>shop</b>" not in text


def test_one_trial_is_a_page_too(tmp_path: Path) -> None:
    sweep.write(tmp_path / "page.html", replace(REPORT, trials=TRIALS[1:2], importance={}), "shop")
    assert "Too few trials" in (tmp_path / "page.html").read_text()
