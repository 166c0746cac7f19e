"""The examples of docs/serve.md, run as they are printed, and the files in deploy/."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dmlcli.cli.fast_parser import read
from dmlcli.commands.serve import serve
from tests.conftest import SAMPLE
from tests.server.running import Running

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the photos of the examples."""
    first, second = sorted((SAMPLE / "queries").glob("mug-*/1.jpg"))[:2]
    for name, shot in (("img.jpg", first), ("front.jpg", first), ("back.jpg", second)):
        shutil.copy(shot, tmp_path / name)
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_of_the_shell(server: Running, folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    block = next(block for block in examples("sh") if "curl" in block)
    lines = [line.replace("http://127.0.0.1:8765", server.url) for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        command = line.replace("dmlcli ", f"{sys.executable} -m dmlcli ")
        shown = run(["sh", "-c", command.replace("curl ", "curl --silent --show-error --fail ")], folder)
        assert ("hits" in shown or "mug" in shown) and "error" not in shown, shown


def test_the_example_in_python(server: Running, folder: Path) -> None:
    (code,) = examples("py")
    shown = run([sys.executable, "-c", code.replace("http://127.0.0.1:8765", server.url)], folder)
    assert len(shown.splitlines()) == 3 and "price" in shown


def test_the_example_in_javascript(server: Running, folder: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    (code,) = examples("js")
    (folder / "example.mjs").write_text(code.replace("http://127.0.0.1:8765", server.url))
    assert len(run([node, "example.mjs"], folder).splitlines()) == 3


def test_the_files_in_deploy_start_the_server_as_it_is() -> None:
    container = (ROOT / "deploy" / "Dockerfile").read_text()
    unit = (ROOT / "deploy" / "dmlcli-serve.service").read_text()
    compose = (ROOT / "deploy" / "compose.yaml").read_text()
    started = [
        re.findall(r'"([^"]+)"', re.findall(r"^CMD (\[.*\])$", container, re.MULTILINE)[0]),
        re.findall(r"command: \[(serve.*)\]", compose)[0].replace('"', "").split(", "),
        re.findall(r"^ExecStart=\S+/dmlcli (.*)$", unit, re.MULTILINE)[0].split(),
    ]
    for command, *options in started:
        assert command == "serve" and read(serve, options) is not None, options
    assert "USER dmlcli" in container and "HEALTHCHECK" in container and "/healthz" in container
    for extra in re.findall(r"/src\[([\w,]+)\]", container)[0].split(","):
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()
