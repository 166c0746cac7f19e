"""The graph that is kept gives the network's vectors; one that does not is not kept."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmlcli.image import ImageSettings
from dmlcli.learn.networks import frozen, onnx_export
from dmlcli.learn.networks.heads import BlendHead, IdentityHead
from dmlcli.learn.networks.inference import open_network
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import resolve
from dmlcli.model import ModelRecord, open_model
from dmlcli.onnx_runtime import open_graph
from dmlcli.storage import CannotWrite
from tests.learn.networks.test_network import FAMILIES

SETTINGS = ImageSettings(resize=32, crop=32)
RECORD = ModelRecord("", "alexnet", {}, 0, SETTINGS, "none (random)")


def pixels(count: int, side: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.random.default_rng(0).normal(size=(count, 3, side, side)).astype(np.float32)


class Plain(nn.Module):
    """A backbone of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=4)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.conv(images)).mean((2, 3))


class Moody(Plain):
    """What it gives depends on something that no graph can hold."""

    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        return features if torch.compiler.is_compiling() else features.flip(1) - 1


def test_the_graph_gives_the_vectors_of_the_network_for_any_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = BlendHead(6, 3, 2, products=3)
    head.recall, head.means = torch.tensor(1.0), torch.eye(3, 2)
    network = Network(Plain(), head, SETTINGS, mirror=True)
    saved = onnx_export.save(tmp_path / "m", network, RECORD, pixels(3, 32))
    assert saved.graph is not None
    forward = open_graph(saved.graph)
    for count in (1, 2, 5, 33):
        batch = pixels(count, 32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch)).numpy()
        assert np.allclose(forward(batch), expected, atol=1e-5)
        assert np.allclose(open_graph(saved.graph, few=True)(batch), expected, atol=1e-5)
    assert (saved.record.dim, saved.record.head["kind"]) == (5, "blend")
    assert {"python", "torch", "onnxruntime"} <= saved.record.versions.keys()
    assert {file.name for file in saved.folder.iterdir()} == {
        "model.json",
        "weights.safetensors",
        "graph.onnx",
        "graph.weights",
        "checked.json",
    }


@pytest.mark.slow
@pytest.mark.parametrize("mirror", [True, False])
def test_a_graph_of_the_backbone_is_built_upon(mirror: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = Plain()
    seen = onnx_export.save(tmp_path / "frozen", Network(backbone, IdentityHead(6), SETTINGS), RECORD, pixels(3, 32))
    network = Network(backbone, BlendHead(6, 3, 2), SETTINGS, mirror=mirror)
    saved = onnx_export.save(tmp_path / "m", network, RECORD, pixels(3, 32), seen.graph)
    assert saved.graph is not None
    for count in (1, 5):
        with torch.inference_mode():
            expected = network(torch.from_numpy(pixels(count, 32))).numpy()
        assert np.allclose(open_graph(saved.graph)(pixels(count, 32)), expected, atol=1e-5)


@pytest.mark.slow
def test_a_graph_of_another_backbone_is_found_out(tmp_path: Path) -> None:
    other = onnx_export.save(tmp_path / "frozen", Network(Plain(), IdentityHead(6), SETTINGS), RECORD, pixels(3, 32))
    with pytest.warns(UserWarning, match="its vectors differ"):
        saved = onnx_export.save(
            tmp_path / "m", Network(Plain(), BlendHead(6, 3, 2), SETTINGS), RECORD, pixels(3, 32), other.graph
        )
    assert saved.graph is None


def test_one_sample_is_enough(tmp_path: Path) -> None:
    network = Network(Plain(), IdentityHead(6), SETTINGS)
    assert onnx_export.save(tmp_path / "m", network, RECORD, pixels(1, 32)).graph is not None


def test_a_graph_that_gives_other_vectors_is_not_kept(tmp_path: Path) -> None:
    network = Network(Moody(), IdentityHead(6), SETTINGS)
    with pytest.warns(UserWarning, match="saved without its light inference graph"):
        saved = onnx_export.save(tmp_path / "m", network, RECORD, pixels(3, 32))
    assert saved.graph is None and saved.record.dim == 6 and saved.weights()


@pytest.mark.slow
def test_equal_networks_have_equal_fingerprints(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(Plain(), BlendHead(6, 3, 2), SETTINGS)
    one = onnx_export.save(tmp_path / "a", network, RECORD, pixels(2, 32)).record.fingerprint
    assert onnx_export.save(tmp_path / "b", network, RECORD, pixels(2, 32)).record.fingerprint == one
    assert isinstance(network.head, BlendHead)
    network.head.blend = torch.tensor(0.1)
    assert onnx_export.save(tmp_path / "c", network, RECORD, pixels(2, 32)).record.fingerprint != one


def settle(network: Network, crop: int) -> None:
    """Fit the batch norms to noise: with untouched ones, the signal of random weights drowns in rounding errors."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(pixels(8, crop)))
    network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_backbone_of_every_family_is_exported_and_opened_again(name: str, tmp_path: Path) -> None:
    start = resolve(name, "none")
    network = frozen.build(start)
    settle(network, start.image.crop)
    batch = pixels(2, start.image.crop) if name != "descriptor" else np.abs(pixels(2, start.image.crop)) % 1
    saved = onnx_export.save(tmp_path / "m", network, frozen.record(start), batch)
    assert saved.graph is not None
    found, expected = open_graph(saved.graph)(batch), open_network(saved)(batch)
    assert (found * expected).sum(axis=1).min() > 0.999


@pytest.mark.slow
def test_a_graph_that_the_disk_has_no_room_for_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime does not say why it failed; the model that was there stays."""

    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def failing(*_: object) -> None:
        monkeypatch.setattr(os, "posix_fallocate", full)
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Failed to write external initializers")

    torch.manual_seed(0)
    network = Network(Plain(), IdentityHead(6), SETTINGS)
    before = onnx_export.save(tmp_path / "m", network, RECORD, pixels(3, 32))
    monkeypatch.setattr(onnx_export, "optimize", failing)
    with pytest.raises(CannotWrite, match=rf"cannot write {tmp_path / 'm'}: no space left on device"):
        onnx_export.save(tmp_path / "m", network, replace(RECORD, backbone="other"), pixels(3, 32))
    after = open_model(tmp_path / "m")
    assert after.record == before.record and after.graph is not None
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
