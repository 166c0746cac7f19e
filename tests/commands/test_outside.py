"""No command leaves a file outside its workspace, and none looks up a host name unless it downloads weights."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import make_shop, process
from tests.places import ROOT

UNSHARE = ["unshare", "--map-root-user", "--mount", "--net"]


@cache
def _cannot() -> str:
    """Why the commands cannot be run in namespaces of their own; empty where they can."""
    if shutil.which("unshare") is None:
        return "needs unshare (util-linux, Linux)"
    found = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/var/tmp"], capture_output=True, check=False)
    return "" if found.returncode == 0 else f"namespaces are not permitted: {found.stderr.decode().strip()}"


pytestmark = pytest.mark.skipif(_cannot() != "", reason=_cannot() or "-")


def offline(folder: Path, mode: str, command: list[str]) -> tuple["subprocess.CompletedProcess[bytes]", str]:
    """Run a command in namespaces of its own; also returns what it looked up and left."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    log = folder / "log"
    log.write_text("")
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in [name for name in kept if name.startswith(("XDG_", "TORCH_HOME", "HF_", "MPLCONFIGDIR", "ORT_"))]:
        del kept[name]
    kept |= {"PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)]), "TMPDIR": str(folder / "tmp")}
    line = [*UNSHARE, sys.executable, str(ROOT / "tests" / "offline.py"), str(log), str(folder / "home"), mode]
    done = subprocess.run([*line, *command], cwd=folder, capture_output=True, env=kept, check=False, timeout=600)
    left = [file for file in (folder / "tmp").rglob("*") if not file.is_dir()]
    return done, log.read_text() + "".join(f"found {file}\n" for file in left)


def test_the_check_sees_a_look_up_and_a_file(tmp_path: Path) -> None:
    script = "import socket, pathlib; pathlib.Path.home().joinpath('x').touch(); socket.gethostbyname('example.com')"
    done, seen = offline(tmp_path, "rw", [sys.executable, "-c", script])
    assert b"gaierror" in done.stderr
    assert set(seen.splitlines()) == {"looked up example.com", f"found {tmp_path / 'home' / 'x'}"}
    done, seen = offline(tmp_path, "ro", [sys.executable, "-c", script])
    assert b"Read-only file system" in done.stderr and seen == ""


def dmlcli(*words: str) -> list[str]:
    return [sys.executable, "-m", "dmlcli", *words]


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_a_query_leaves_no_trace(tmp_path: Path, workspace: Path, mode: str) -> None:
    """ONNX Runtime would look up a host, and keep a device id in the cache folder of its user."""
    make_shop(tmp_path / "shop", 1, 1)
    done, seen = offline(tmp_path, mode, dmlcli("query", "shop/product-00/0.png", "-w", str(workspace), "-k", "1"))
    assert (done.returncode, done.stderr, seen) == (0, b"", "")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_no_command_leaves_a_trace(tmp_path: Path, mode: str) -> None:
    make_shop(tmp_path / "shop", 6, 4)
    backbone = ("--backbone", "descriptor")
    lines = [
        ("train", "shop", *backbone, "--loss", "softmax", "--epochs", "1", "--tune", "head"),
        ("embed", "shop"),
        ("index", "shop"),
        ("query", "shop/product-00/0.png", "--sheet", "sheet.png", "--html", "page.html"),
        ("query", "shop", "--by", "product", "--rerank", "aqe"),
        ("eval", "shop", "--html", "report.html"),
        ("doctor", "shop"),
        ("duplicates",),
        ("models",),
        ("status",),
        ("losses",),
    ]
    for line in lines:
        done, seen = offline(tmp_path, mode, dmlcli(*line))
        assert done.returncode in (0, 1) and seen == "", (line, done.returncode, done.stderr.decode(), seen)
    names = {"shop", ".dmlcli", "sheet.png", "page.html", "report.html", "home", "tmp", "log", "resolv.conf"}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.slow
def test_only_a_download_looks_up_a_host(tmp_path: Path) -> None:
    """And it names what is missing: here the package with the default weights is not installed either."""
    make_shop(tmp_path / "shop", 2, 2)
    done, seen = offline(tmp_path, "rw", dmlcli("index", "shop"))
    assert done.returncode == 0 and set(seen.splitlines()) == {"looked up github.com"}
    assert b"no pretrained weights" in done.stderr
    assert process("status", cwd=tmp_path).returncode == 0
