"""dmlcli compare --backbones: the same folds for all, paired with the first, recommended only with evidence."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import torchvision

import dmlcli
from dmlcli import progress
from dmlcli.cli.progress_bar import Teller
from dmlcli.cli.views import compare_backbones as view
from dmlcli.errors import CatalogError, UsageError, WeightsError
from dmlcli.report.compare_backbones import BackboneScores, CompareBackbonesReport, Scored, recommend
from tests.conftest import Cli, make_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog in which products can be held out, and beside it random weights of a network."""
    folder = make_shop(tmp_path_factory.mktemp("shop") / "catalog", products=9, images=4)
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder.parent / "weights.pth")
    return folder


def line_of(shop: Path) -> str:
    return f"descriptor,squeezenet1_1={shop.parent / 'weights.pth'}"


@pytest.fixture(scope="module")
def report(shop: Path) -> CompareBackbonesReport:
    """The two compared on the shop; once, as most of its time is that of two exports."""
    found = dmlcli.compare(shop, backbones=line_of(shop), workspace=shop.parent / "workspace")
    assert isinstance(found, CompareBackbonesReport)
    return found


def test_backbones_are_scored_in_the_same_folds_and_paired_with_the_first(
    shop: Path, report: CompareBackbonesReport
) -> None:
    first, second = report.backbones
    assert (first.name, second.name) == ("descriptor", "squeezenet1_1")
    assert report.images == 36 and report.products == 9
    assert "2 folds" in report.protocol and "unseen" in report.protocol
    for one in report.backbones:
        assert one.untrained.keys() == one.with_head.keys() == {"seen", "unseen"}
        assert one.seconds_a_thousand > 0
    for scored in first.with_head.values():
        assert scored.gain == 0 and scored.gain_interval95 == (0, 0)
    gain = second.with_head["unseen"]
    assert gain.gain == pytest.approx(gain.map_at_r - first.with_head["unseen"].map_at_r)
    low, high = gain.gain_interval95 or (0, 0)
    assert low <= gain.gain <= high
    assert first.megabytes_a_thousand == pytest.approx(2081 * 4 / 1000)
    assert not (shop.parent / "workspace" / "compared").exists()


@pytest.mark.slow
def test_the_command_prints_the_same_scores_as_json(shop: Path, report: CompareBackbonesReport, cli: Cli) -> None:
    shown = cli("compare", shop, "--backbones", line_of(shop), "-w", shop.parent / "workspace", "--format", "json")
    rows = json.loads(shown.out)["backbones"]
    assert [row["with_head"]["unseen"]["map_at_r"] for row in rows] == [
        one.with_head["unseen"].map_at_r for one in report.backbones
    ]


def test_a_table_for_each_search_and_one_of_the_cost(
    report: CompareBackbonesReport, capsys: pytest.CaptureFixture[str]
) -> None:
    view.show(report)
    shown = capsys.readouterr().out
    assert "unseen products" in shown and "seen products" in shown and "over first" in shown
    assert "a thousand photos" in shown and max(map(len, shown.splitlines())) <= 120


def test_missing_weights_are_an_error_and_not_replaced_by_the_descriptor(shop: Path) -> None:
    with pytest.raises(WeightsError, match="cannot download"):
        dmlcli.compare(shop, backbones="mobilenet_v2,descriptor", workspace=shop.parent / "workspace")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"losses": "nca"}, "--losses would have no effect"),
        ({"epochs": 3, "weights": "none"}, "--weights, --epochs would have no effect"),
        ({"backbones": "descriptor"}, "two or more"),
    ],
)
def test_options_without_an_effect_are_usage_errors(more: dict[str, object], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        dmlcli.compare("nowhere", **({"backbones": ["descriptor", "resnet50"]} | more))


def test_too_few_products_cannot_be_compared_on(shop: Path, tmp_path: Path) -> None:
    for product in ("product-00", "product-01"):
        shutil.copytree(shop / product, tmp_path / "two" / product)
    with pytest.raises(CatalogError, match="four products"):
        dmlcli.compare(tmp_path / "two", backbones=line_of(shop), workspace=tmp_path / "workspace")


def scored(map_at_r: float, low: float, high: float) -> Scored:
    return Scored(map_at_r, map_at_r, (0.0, 1.0), (low + high) / 2, (low, high))


def line(name: str, unseen: Scored, seen: Scored, *, file: bool = False) -> BackboneScores:
    scores = {"unseen": unseen, "seen": seen}
    return BackboneScores(name, "a file.pth" if file else "cache", file, scores, scores, 1.0, 2.0, 1.0)


FIRST = line("first", scored(0.3, 0, 0), scored(0.5, 0, 0))
GOOD = line("good", scored(0.4, 0.05, 0.15), scored(0.6, -0.02, 0.22), file=True)
BETTER = line("better", scored(0.45, 0.1, 0.2), scored(0.65, 0.1, 0.2))
UNSURE = line("unsure", scored(0.6, -0.01, 0.6), scored(0.7, -0.1, 0.5))
MIXED = line("mixed", scored(0.6, 0.2, 0.4), scored(0.4, -0.2, -0.01))


@pytest.mark.parametrize(
    ("others", "expected", "why"),
    [
        ([GOOD], "good", "good finds unseen products significantly better than first"),
        ([GOOD, BETTER], "better", "better finds unseen and seen products significantly better"),
        ([UNSURE, GOOD], "good", "significantly better"),
        ([UNSURE], "", "no backbone is significantly better than first"),
        ([MIXED], "", "no backbone is significantly better than first"),
    ],
)
def test_only_a_backbone_that_the_intervals_carry_is_recommended(
    others: list[BackboneScores], expected: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A backbone is not recommended for the best mean alone, nor if it finds other products worse."""
    lines = (FIRST, *others)
    name, reason = recommend(lines)
    assert name == expected and why in reason
    progress.listen(Teller(False))
    view.show(CompareBackbonesReport(10, 5, "folds", lines, name, reason))
    weights = f" --weights {shlex.quote('a file.pth')}" if name == "good" else ""
    assert capsys.readouterr().err.endswith(f"dmlcli train CATALOG --backbone {name or 'first'}{weights}\n")
