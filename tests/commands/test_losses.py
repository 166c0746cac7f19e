"""dmlcli losses: the plot of a loss."""

from pathlib import Path
from typing import Any

import pytest

from dmlcli.commands.losses import losses
from dmlcli.errors import UsageError


def test_a_plot_is_drawn_with_the_settings(tmp_path: Path) -> None:
    texts = []
    for spec in ("triplet", "triplet:margin=0.9"):
        report = losses(spec, plot=tmp_path / "plot.svg")
        assert [loss.name for loss in report.losses] == ["triplet"]
        texts.append((tmp_path / "plot.svg").read_text(encoding="utf-8"))
        assert f"{spec}: loss" in texts[-1] and len(texts[-1]) < 10_000
    lines = [text.split("polyline")[1] for text in texts]
    assert lines[0] != lines[1]


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        (None, "plot.svg", "--plot needs the name of a loss"),
        ("triplet", "plot.png", "the file must end in .svg"),
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
