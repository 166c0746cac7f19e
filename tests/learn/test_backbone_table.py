"""The table of backbones: it fits torchvision and timm, knows what is here, and reads lists of names."""

from pathlib import Path

import pytest

from dmlcli import progress
from dmlcli.errors import UsageError
from dmlcli.learn import backbone_table
from dmlcli.learn.backbone_table import Asked, by_name, parse_list, resolve_need, table
from dmlcli.model import DEFAULT_BACKBONE


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of torch and of the Hugging Face hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr(backbone_table, "_in_package", lambda name: None)
    return tmp_path


def put(file: Path) -> Path:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    return file


def test_the_table_is_short_and_starts_with_the_default_backbone() -> None:
    names = [row.name for row in table()]
    assert names[0] == DEFAULT_BACKBONE and len(names) == len({*names}) <= 20


def test_each_need_stands_for_one_backbone() -> None:
    needs = [need for row in table() for need in row.needs]
    assert sorted(needs) == sorted(backbone_table.NEEDS)


def test_figures_have_a_source_and_sources_have_figures() -> None:
    for row in table():
        figures = (row.published.sop, row.published.inshop)
        assert bool(row.published.source) == (figures != (None, None)), row.name
        assert all(figure is None or 1 < figure < 100 for figure in figures), row.name


def test_best_and_fashion_are_what_their_reasons_claim() -> None:
    scored = [row for row in table() if row.published.inshop is not None and row.published.sop is not None]
    best = max(scored, key=lambda row: (row.published.sop or 0) + (row.published.inshop or 0))
    small = [row for row in scored if row.parameters < 100]
    assert by_name("best") == best
    assert by_name("fashion") == max(small, key=lambda row: row.published.inshop or 0)


def test_the_files_of_torchvision_are_the_published_ones() -> None:
    import torchvision

    for row in table():
        if row.needs_timm or row.is_built_in or row.name == DEFAULT_BACKBONE:
            continue
        published = {weights.url.rpartition("/")[2] for weights in torchvision.models.get_model_weights(row.name)}
        assert {place.removeprefix("torch:") for place in row.weights} <= published, row.name


def test_names_and_licences_of_timm_are_those_of_the_installed_timm() -> None:
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    for row in table():
        if row.needs_timm:
            config = timm.models.get_pretrained_cfg(row.name.removeprefix("timm:"))
            assert row.weights[0] == f"hub:{config.hf_hub_id}", row.name
            assert row.pixels == config.input_size[-1], row.name
            assert row.licence.name.lower() == config.license.removesuffix("-license"), row.name


@pytest.mark.slow
@pytest.mark.parametrize("name", [row.name for row in table() if row.parameters < 30])
def test_parameters_pixels_and_features_are_those_of_the_network(name: str) -> None:
    from dmlcli.learn.networks import frozen, pretrained

    row = by_name(name)
    if row.needs_timm:
        pytest.importorskip("timm", reason="the extra timm is not installed")
    network = frozen.build(pretrained.resolve(name, "none" if name != "descriptor" else "auto"))
    parameters = sum(part.numel() for part in network.parameters()) / 1e6
    assert (network.image.crop, network.head.dim) == (row.pixels, row.dim)
    assert parameters == pytest.approx(row.parameters, abs=0.06)


def test_weights_are_found_in_the_cache_of_torch(caches: Path) -> None:
    row = by_name("mobilenet_v2")
    assert not backbone_table.is_here(row) and backbone_table.how_to_get(row) == "dmlcli backbones mobilenet_v2 --fetch"
    file = put(caches / "torch" / "hub" / "checkpoints" / "mobilenet_v2-b0353104.pth")
    assert backbone_table.weights_file(row) == file and backbone_table.is_here(row)


def test_weights_are_found_in_the_cache_of_the_hub(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = by_name("timm:vit_small_patch16_224.dino")
    folder = caches / "huggingface" / "hub" / "models--timm--vit_small_patch16_224.dino" / "snapshots" / "0a1b"
    file = put(folder / "model.safetensors")
    assert backbone_table.weights_file(row) == file
    for installed in (True, False):
        monkeypatch.setattr(backbone_table, "has_timm", lambda installed=installed: installed)
        assert backbone_table.is_here(row) is installed
        assert ("dmlcli[timm]" in backbone_table.how_to_get(row)) is not installed
    monkeypatch.setenv("HF_HUB_CACHE", str(caches / "elsewhere"))
    assert backbone_table.weights_file(row) is None


def test_a_need_is_resolved_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    assert resolve_need("resnet18") == "resnet18" and notes == []
    assert resolve_need("balanced") == DEFAULT_BACKBONE
    assert len(notes) == 1 and "balanced" in notes[0] and DEFAULT_BACKBONE in notes[0]


def test_a_list_names_backbones_needs_and_files() -> None:
    asked = parse_list(["descriptor", " mobilenet_v2=a/b.pth", "timm:resnet18.a1_in1k", "fast"])
    assert asked == [
        Asked("descriptor", ""),
        Asked("mobilenet_v2", "a/b.pth"),
        Asked("timm:resnet18.a1_in1k", ""),
        Asked(by_name("fast").name, ""),
    ]


def test_all_that_are_here_may_be_listed(caches: Path) -> None:
    put(caches / "torch" / "hub" / "checkpoints" / "mobilenet_v2-7ebf99e0.pth")
    assert [one.name for one in parse_list(["all-here"])] == ["descriptor", "mobilenet_v2"]
    assert [one.name for one in parse_list(["mobilenet_v2", "all-here"])] == ["mobilenet_v2", "descriptor"]


@pytest.mark.parametrize(
    ("listed", "error", "hint"),
    [
        (["descriptor"], "two or more", "here are: descriptor"),
        (["all-here"], "two or more", "--fetch"),
        (["descriptor", "resnet50", "descriptor"], "lists descriptor twice", ""),
        (["balanced", DEFAULT_BACKBONE], f"lists {DEFAULT_BACKBONE} twice", ""),
    ],
)
def test_a_list_that_compares_nothing_is_a_usage_error(listed: list[str], error: str, hint: str) -> None:
    with pytest.raises(UsageError, match=error) as caught:
        parse_list(listed)
    assert hint in caught.value.hint


def test_a_misspelled_backbone_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no 'mobilenetv2'") as caught:
        by_name("mobilenetv2")
    assert "mobilenet_v2" in caught.value.hint
