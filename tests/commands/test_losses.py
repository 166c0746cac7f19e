"""dmlcli losses: the plot of a loss."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dmlcli.cli import terminal_chart
from dmlcli.commands.losses import losses
from dmlcli.errors import UsageError
from tests.conftest import Cli


def test_a_plot_is_drawn_with_the_settings(tmp_path: Path) -> None:
    texts = []
    for spec in ("triplet", "triplet:margin=0.9"):
        report = losses(spec, plot=tmp_path / "plot.svg")
        assert [loss.name for loss in report.losses] == ["triplet"]
        texts.append((tmp_path / "plot.svg").read_text(encoding="utf-8"))
        assert f"{spec}: loss" in texts[-1] and len(texts[-1]) < 10_000
    lines = [re.findall(r"points=.* stroke-width=.2.", text)[0] for text in texts]
    assert lines[0] != lines[1]


def test_a_plot_may_be_a_png(tmp_path: Path) -> None:
    assert not losses("triplet", plot=str(tmp_path / "plot.png")).curves  # type: ignore[arg-type]  # as others take it
    with Image.open(tmp_path / "plot.png") as image:
        assert image.format == "PNG" and image.width > 800


def test_a_plot_in_the_terminal_is_that_of_the_curves(cli: Cli) -> None:
    found = cli("losses", "triplet:margin=0.9", "--plot", "-")
    rows = found.out.splitlines()
    assert rows[0].startswith("loss") and len(rows) == 24 and "margin" not in found.out
    report = json.loads(cli("losses", "triplet:margin=0.9", "--plot", "-", "--format", "json").out)
    positive, negative = report["curves"]
    assert (positive["pair"], negative["pair"]) == ("positive", "negative")
    hinge = [max(0.0, 2 - 2 * cosine - 2 + 0.9) for cosine in positive["cosines"]]  # the negative pair is 2 apart
    assert positive["values"] == pytest.approx(hinge)
    assert rows[1:12] == terminal_chart.charts(
        positive["cosines"], {"positive pair": positive["values"], "negative pair": negative["values"]}, 100
    )


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        (None, "plot.svg", "--plot needs the name of a loss"),
        ("triplet", "plot.pdf", "the file must end in .svg or .png"),
        ("spectral", "plot.svg", "spectral cannot be drawn: a regularizer compares no pairs"),
        ("triplet:margn=1", "plot.svg", "no setting 'margn'"),
        ("softmax+triplet", "plot.svg", "unknown loss 'softmax\\+triplet'"),
    ],
)
def test_what_cannot_be_drawn_is_a_usage_error(name: Any, file: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        losses(name, plot=tmp_path / file)
    assert not (tmp_path / file).exists()


def test_a_wrong_setting_is_an_error_without_a_plot_too() -> None:
    with pytest.raises(UsageError, match="no setting 'margn'"):
        losses("triplet:margn=1")
