"""The generated pages say what the code says."""

import re

import pytest

from dmlcli.learn import losses
from docs import generate

DRAWN = [name for name in losses.names() if generate.has_plot(name)]


def test_generated_pages_are_fresh() -> None:
    stale = [file.name for file, text in generate.pages().items() if file.read_text(encoding="utf-8") != text]
    assert not stale, f"run `make docs`: {', '.join(stale)}"


def test_every_loss_of_pairs_has_a_plot() -> None:
    of_pairs = {name for name in losses.names() if losses.describe(name).family in ("pair", "triplet", "ranking")}
    assert of_pairs <= {*DRAWN}
    files = {str(file.relative_to(generate.DOCS)) for file in (generate.DOCS / "losses").iterdir()}
    assert files == {generate.plot_file(name) for name in DRAWN}


@pytest.mark.parametrize("name", ["arcface", "triplet"])
def test_a_plot_is_fresh(name: str) -> None:
    assert_fresh(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_all_plots_are_fresh(name: str) -> None:
    assert_fresh(name)


def assert_fresh(name: str) -> None:
    """The same but for the last digit, which may be another one on another machine."""
    kept = (generate.DOCS / generate.plot_file(name)).read_text(encoding="utf-8")
    (texts, places), (others, made) = (
        (re.split(number, svg), [float(one) for one in re.findall(number, svg)])
        for number in [r"-?\d+\.?\d*"]
        for svg in (kept, generate.plot(name))
    )
    assert texts == others and made == pytest.approx(places, abs=0.11), "run `make docs`"
