"""dmlcli compare: the table that says which loss suits the photos."""

import json
import shutil
from pathlib import Path

import pytest

import dmlcli
from dmlcli import progress
from dmlcli.cli.progress_bar import Teller
from dmlcli.cli.views import compare as view
from dmlcli.errors import CatalogError, UsageError
from dmlcli.report.compare import CompareReport, Contender, recommend
from tests.conftest import Cli, Mission
from tests.places import ROOT

CATALOG = ROOT / "sample_data" / "catalog" / "mug"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, mission: Mission) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "workspace"
    shutil.copytree(mission.workspace / "frozen", folder / "frozen")
    return folder


def compare(workspace: Path, losses: str, **settings: int) -> CompareReport:
    report = dmlcli.compare(CATALOG, losses=losses, backbone="descriptor", workspace=workspace, views=2, **settings)
    assert isinstance(report, CompareReport)
    return report


def test_each_loss_is_scored_beside_the_frozen_backbone_and_the_lda_head(workspace: Path) -> None:
    report = compare(workspace, "proxy-anchor,triplet:mining=batch-hard,margin=0.1,softmax+0.5*supcon", epochs=2)
    names = {one.name for one in report.contenders}
    assert names == {
        "frozen backbone",
        "LDA head",
        "proxy-anchor",
        "triplet:mining=batch-hard,margin=0.1",
        "softmax+0.5*supcon",
    }
    scores = [one.map_at_r or 0.0 for one in report.contenders]
    assert scores == sorted(scores, reverse=True)
    assert report.products == 3 and "3 unseen products" in report.protocol
    for one in report.contenders:
        assert one.interval95 is not None and one.interval95[0] <= (one.map_at_r or 0.0) <= one.interval95[1]
    frozen = next(one for one in report.contenders if one.name == "frozen backbone")
    assert frozen.gain == 0 and frozen.gain_interval95 == (0, 0)


def test_the_same_seed_gives_the_same_table(workspace: Path) -> None:
    first, second = (compare(workspace, "margin", epochs=2) for _ in range(2))
    assert [one.map_at_r for one in first.contenders] == [one.map_at_r for one in second.contenders]


def test_a_misspelt_loss_is_answered_before_the_work(workspace: Path) -> None:
    with pytest.raises(UsageError, match="tripelt"):
        compare(workspace, "proxy-anchor,tripelt")


def test_too_few_products_cannot_be_compared_on(tmp_path: Path) -> None:
    for product in ("mug-tall-stripes", "mug-wide-stripes"):
        shutil.copytree(CATALOG / product, tmp_path / "two" / product)
    with pytest.raises(CatalogError, match="four products"):
        dmlcli.compare(tmp_path / "two", backbone="descriptor", workspace=tmp_path / "workspace")


def test_the_command_prints_a_table_and_json(workspace: Path, cli: Cli) -> None:
    line = ["compare", CATALOG, "--losses", "nca", "--epochs", 1, "--views", 2, "--backbone", "descriptor"]
    table = cli(*line, "-w", workspace)
    assert table.code == 0 and "over frozen" in table.out and "nca" in table.out
    shown = cli(*line, "-w", workspace, "--format", "json")
    assert {one["name"] for one in json.loads(shown.out)["contenders"]} == {"frozen backbone", "LDA head", "nca"}


def line(name: str, map_at_r: float, recall: float, gain: tuple[float, float], head: tuple[float, float]) -> Contender:
    return Contender(name, recall, map_at_r, (0.0, 1.0), map_at_r - 0.3, gain, None, None, 1.0, "", head)


FROZEN = Contender("frozen backbone", 0.5, 0.3, (0.2, 0.4), 0.0, (0.0, 0.0), None, None, 0.0)
CLOSED = line("LDA head", 0.35, 0.5, (0.01, 0.09), (0.0, 0.0))
GOOD = line("triplet", 0.40, 0.55, (0.05, 0.15), (0.01, 0.09))
BETTER = line("margin", 0.42, 0.45, (0.05, 0.15), (0.01, 0.09))
UNSURE = line("softmax", 0.45, 0.60, (-0.01, 0.30), (-0.1, 0.2))
NO_HEAD = line("nca", 0.41, 0.60, (0.05, 0.15), (-0.02, 0.09))
LOST = Contender("circle", None, None, None, None, None, None, None, 1.0, "training diverged")


@pytest.mark.parametrize(
    ("losses", "expected", "why"),
    [
        ([UNSURE, GOOD], "triplet", "significantly better than the frozen backbone and the LDA head"),
        ([BETTER, GOOD], "triplet", "significantly better"),
        ([UNSURE], "", "no loss is significantly better than the frozen backbone"),
        ([NO_HEAD, UNSURE], "", "no loss is significantly better than the LDA head"),
        ([BETTER], "", "below the frozen backbone in Recall@1"),
        ([LOST], "", "no loss is significantly better than the frozen backbone"),
    ],
)
def test_only_a_loss_that_the_intervals_carry_is_recommended(
    losses: list[Contender], expected: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A loss is not recommended for the best mean alone."""
    lines = (*losses, CLOSED, FROZEN)
    name, reason = recommend(lines)
    assert name == expected and why in reason
    progress.listen(Teller(False))
    view.show(CompareReport(10, 5, "halves", lines, name, reason))
    shown = capsys.readouterr()
    assert reason in shown.err
    assert shown.err.endswith(f"dmlcli train CATALOG --loss {name}\n" if name else "dmlcli train CATALOG\n")


def test_a_loss_that_diverges_has_no_score(workspace: Path) -> None:
    report = dmlcli.compare(
        CATALOG, losses="triplet", backbone="descriptor", workspace=workspace, views=2, learning_rate=1e37, epochs=2
    )
    assert isinstance(report, CompareReport) and report.recommended == ""
    last = report.contenders[-1]
    assert last.name == "triplet" and last.map_at_r is None and "training diverged in epoch 1" in last.trouble
