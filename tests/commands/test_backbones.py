"""dmlcli backbones: the table, weights that are fetched, times, and names by need."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import torchvision

import dmlcli
from dmlcli.errors import UsageError, WeightsError
from dmlcli.learn.backbone_table import by_name, table
from dmlcli.learn.networks import timing
from dmlcli.learn.recipe_files import resolve
from dmlcli.model import open_model
from dmlcli.report.backbones import BackbonesReport
from tests.conftest import NOWHERE, Cli, make_shop

FAST = by_name("fast").name


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights cache of torch, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def put(cache: Path) -> Path:
    """Store random weights as the published ones of the fast backbone."""
    file = cache / by_name(FAST).weights[0].removeprefix("torch:")
    torch.save(torchvision.models.get_model(FAST, weights=None).state_dict(), file)
    return file


def test_all_backbones_are_listed_within_80_columns(
    cli: Cli, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from dmlcli.cli import formatting
    from dmlcli.cli.views import backbones as view

    monkeypatch.setattr(formatting, "console", lambda: Console(width=80, highlight=False))
    report = dmlcli.backbones()
    assert isinstance(report, BackbonesReport)
    view.show(report)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) < 45
    text = " ".join("".join(lines).split())
    assert all(heading in text for heading in ("backbone", "SOP", "In-Shop", "licence", "here"))


def test_json_and_tsv_have_a_row_for_each(cli: Cli, cache: Path) -> None:
    rows = json.loads(cli("backbones", "--format", "json").out)["backbones"]
    assert [row["name"] for row in rows] == [row.name for row in table()]
    heading, *lines = [line.split("\t") for line in cli("backbones", "--format", "tsv").out.splitlines()]
    assert heading == list(rows[0]) and [line[0] for line in lines] == [row["name"] for row in rows]
    assert {len(line) for line in lines} == {len(heading)}


def test_one_is_shown_by_name_or_by_need(cli: Cli, cache: Path) -> None:
    assert by_name("fashion").name in cli("backbones", "fashion").out
    shown = cli("backbones", FAST).out
    assert f"dmlcli backbones {FAST} --fetch" in shown and "BSD-3-Clause" in shown
    file = put(cache)
    shown = cli("backbones", FAST).out
    assert str(file) in shown and "--fetch" not in shown
    wrong = cli("backbones", "mobilnet_v2")
    assert wrong.code == 2 and "mobilenet_v2" in wrong.err


def test_weights_that_are_here_are_shown_with_their_hash_and_fit_another_machine(cli: Cli, cache: Path) -> None:
    file = put(cache)
    shown = cli("backbones", "fast", "--fetch")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in shown.out and str(file) in shown.out
    assert f"--backbone {FAST} --weights {file}" in shown.err


def test_weights_that_are_not_here_are_downloaded_by_the_loader_of_torchvision(
    cli: Cli, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dmlcli.learn.networks import pretrained

    asked: list[str] = []

    def download(url: str, file: Path) -> None:
        asked.append(url)
        put(cache)

    monkeypatch.setattr(pretrained, "_download", download)
    assert cli("backbones", FAST, "--fetch").code == 0
    assert asked == [torchvision.models.get_model_weights(FAST).DEFAULT.url]


def test_fetching_without_a_network_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", NOWHERE)
    with pytest.raises(WeightsError, match="cannot download"):
        dmlcli.backbones(FAST, fetch=True)


@pytest.mark.parametrize(("name", "error"), [(None, "needs the name"), ("descriptor", "no weights to fetch")])
def test_what_cannot_be_fetched_is_a_usage_error(name: str | None, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        dmlcli.backbones(name, fetch=True)


def test_timm_stores_what_it_fetches_in_the_cache_of_the_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with a file in the place where the hub client puts it, and no network."""
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    from safetensors.torch import save_file

    name = "timm:mobilenetv4_conv_small.e2400_r224_in1k"
    folder = Path(cache.parents[2] / "huggingface" / "hub" / f"models--timm--{name.removeprefix('timm:')}")
    file = folder / "snapshots" / "0a1b" / "model.safetensors"
    file.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0a1b")
    save_file(timm.create_model(name.removeprefix("timm:")).state_dict(), file)
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(folder.parent))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    report = dmlcli.backbones(name, fetch=True)
    assert isinstance(report, BackbonesReport)
    assert report.backbones[0].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_time_of_an_image_is_measured_on_one_core(cli: Cli, cache: Path) -> None:
    threads = torch.get_num_threads()
    (row,) = json.loads(cli("backbones", "descriptor", "--measure", "--format", "json").out)["backbones"]
    assert 0 < row["milliseconds"] < 5000 and torch.get_num_threads() == threads
    shown = cli("backbones", "descriptor", "--measure")
    assert "one core" in shown.err and timing.HOW in shown.err


def test_backbones_of_timm_are_not_timed_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmlcli.learn.backbone_table.has_timm", lambda: False)
    assert timing.milliseconds([row for row in table() if row.needs_timm]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["index", "embed", "train"])
def test_models_record_the_backbone_that_a_need_stands_for(command: str, cli: Cli, cache: Path, tmp_path: Path) -> None:
    put(cache)
    shop = make_shop(tmp_path / "shop", products=2, images=2)
    more = ["--tune", "none", "--no-index"] if command == "train" else []
    done = cli(command, shop, "--backbone", "fast", "-w", tmp_path / "workspace", *more)
    assert done.code == 0 and f"--backbone fast: {FAST}" in done.err
    record = open_model(tmp_path / "workspace" / "model").record
    assert record.backbone == FAST and "fast" not in record.recipe.values()


def test_a_recipe_records_the_backbone_that_a_need_stands_for() -> None:
    assert resolve(None, {"backbone": "fast"}).backbone == FAST
