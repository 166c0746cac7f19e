"""Weights come from the cache, a download, a file or nowhere; what stands in for them says so."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from dmlcli.errors import UsageError, WeightsError
from dmlcli.learn.networks import efficientnet_lite0, pretrained
from dmlcli.learn.networks.backbone import build_backbone
from dmlcli.learn.networks.pretrained import resolve

PUBLISHED = torchvision.models.SqueezeNet1_1_Weights.DEFAULT


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    weights: dict[str, torch.Tensor] = torchvision.models.squeezenet1_1(weights=None).state_dict()
    return weights


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's cache folder, empty and not yet made."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@dataclass
class Server:
    """A file server: what it has, and what it was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: bool = False
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    known = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.path)
            data = known.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if known.cut else data)

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.address = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield known
    listening.shutdown()
    listening.server_close()


def offer(
    server: Server, state: dict[str, torch.Tensor], tmp_path: Path, patch: pytest.MonkeyPatch, digest: str = ""
) -> str:
    """Publish the weights on the local server under a name with their hash, as torchvision does; return the name."""
    torch.save(state, tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    name = f"squeezenet1_1-{digest or hashlib.sha256(data).hexdigest()[:8]}.pth"
    server.files[f"/{name}"] = data
    patch.setattr(PUBLISHED.value, "url", f"{server.address}/{name}")
    return name


@pytest.mark.parametrize("wanted", ["auto", "pretrained"])
def test_what_lies_in_the_cache_of_torchvision_is_used(
    cache: Path, state: dict[str, torch.Tensor], wanted: str
) -> None:
    cache.mkdir(parents=True)
    file = cache / Path(PUBLISHED.url).name
    torch.save(state, file)
    found = resolve("squeezenet1_1", wanted)
    assert found.state is not None and torch.equal(found.state["features.0.weight"], state["features.0.weight"])
    assert (found.image.resize, found.image.crop, found.image.interpolation) == (256, 224, "bilinear")
    assert str(file) in found.source and found.caution == ""
    assert torch.equal(build_backbone(found).state_dict()["features.0.weight"], state["features.0.weight"])


def test_older_published_weights_in_the_cache_will_do(cache: Path) -> None:
    cache.mkdir(parents=True)
    torch.save(torchvision.models.mobilenet_v2(weights=None).state_dict(), cache / "mobilenet_v2-b0353104.pth")
    found = resolve("mobilenet_v2", "auto")
    assert "IMAGENET1K_V1" in found.source and found.image.resize == 256


def test_a_download_is_checked_cached_and_not_repeated(
    cache: Path,
    server: Server,
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = offer(server, state, tmp_path, monkeypatch)
    found = resolve("squeezenet1_1", "auto")
    assert found.state is not None and torch.equal(found.state["features.0.weight"], state["features.0.weight"])
    assert [file.name for file in cache.iterdir()] == [name] and server.address in found.source
    assert resolve("squeezenet1_1", "pretrained").state is not None
    assert server.asked == [f"/{name}"]


def test_without_its_package_the_weights_of_the_default_backbone_are_downloaded_once(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = efficientnet_lite0.EfficientNetLite0().state_dict()
    torch.save(state, tmp_path / "weights.pth")
    data = (tmp_path / "weights.pth").read_bytes()
    name = f"tf_efficientnet_lite0-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    server.files[f"/{name}"] = data
    monkeypatch.setattr(pretrained, "_LITE0_URL", f"{server.address}/{name}")
    for _ in range(2):
        found, stem = resolve("efficientnet_lite0", "pretrained"), "features.0.conv.weight"
        assert found.state is not None and torch.equal(found.state[stem], state[stem])
    assert server.asked == [f"/{name}"] and [file.name for file in cache.iterdir()] == [name]


def test_a_download_with_another_hash_is_refused_and_not_kept(
    cache: Path, server: Server, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, state, tmp_path, monkeypatch, digest="deadbeef")
    with pytest.raises(WeightsError, match="not the published file"):
        resolve("squeezenet1_1", "pretrained")
    assert not list(cache.iterdir())


def test_a_download_that_breaks_off_is_refused_and_not_kept(
    cache: Path, server: Server, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, state, tmp_path, monkeypatch)
    server.cut = True
    with pytest.raises(WeightsError):
        resolve("squeezenet1_1", "pretrained")
    assert not list(cache.iterdir())


def test_what_the_server_does_not_have_is_reported(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PUBLISHED.value, "url", f"{server.address}/nowhere-00000000.pth")
    with pytest.raises(WeightsError, match="Not Found") as caught:
        resolve("squeezenet1_1", "pretrained")
    assert "--weights FILE" in caught.value.hint


def test_a_cache_that_cannot_be_written_is_reported(
    server: Server, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, state, tmp_path, monkeypatch)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError):
        resolve("squeezenet1_1", "pretrained")


def test_without_network_and_cache_the_descriptor_stands_in_and_says_so(cache: Path) -> None:
    with pytest.warns(UserWarning, match="falling back to the built-in descriptor") as heard:
        found = resolve("squeezenet1_1", "auto")
    assert len(heard) == 1 and "cannot download" in str(heard[0].message)
    assert found.caution == "the built-in descriptor is used instead of squeezenet1_1 (see --weights)"
    assert (found.backbone, found.state) == ("descriptor", None)
    with pytest.raises(WeightsError, match="cannot download"):
        resolve("squeezenet1_1", "pretrained")


def test_a_damaged_file_in_the_cache_is_reported(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / Path(PUBLISHED.url).name).write_bytes(b"<html>proxy login</html>")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        resolve("squeezenet1_1", "pretrained")


def test_a_misspelt_backbone_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown backbone 'resnet5O'") as caught:
        resolve("resnet5O", "auto")
    assert "resnet50" in caught.value.hint


def test_random_weights_are_had_by_asking() -> None:
    found = resolve("squeezenet1_1", "none")
    assert found.state is None and "random" in found.source and found.image.crop == 224


def test_the_descriptor_takes_no_weights() -> None:
    assert resolve("descriptor", "auto").caution == ""
    with pytest.raises(UsageError, match="has no weights"):
        resolve("descriptor", "pretrained")


@pytest.mark.parametrize("kind", ["plain", "nested", "safetensors"])
def test_a_file_of_ones_own_is_read(tmp_path: Path, state: dict[str, torch.Tensor], kind: str) -> None:
    file = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(state, file)
    else:
        torch.save({"state_dict": state} if kind == "nested" else state, file)
    found = resolve("squeezenet1_1", str(file))
    assert found.state is not None and found.state.keys() == state.keys() and found.source == str(file)


class Trap:
    """What a pickle can do to who opens it."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (self.file, "w")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(str(tmp_path / "sprung"))}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        resolve("squeezenet1_1", str(tmp_path / "w.pth"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04" + b"x" * 99])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_reported(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        resolve("squeezenet1_1", str(tmp_path / name))


def test_a_file_of_no_weights_and_a_missing_one_are_reported(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="no weights by name"):
        resolve("squeezenet1_1", str(tmp_path / "list.pth"))
    with pytest.raises(WeightsError, match="weights not found") as caught:
        resolve("squeezenet1_1", "pretraind")
    assert "pretrained" in caught.value.hint
