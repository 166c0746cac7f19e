"""Every command in docs/query.md does what it says, in a folder as the page describes it."""

import csv
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dmlcli
from tests.conftest import SAMPLE, Cli, Mission
from tests.places import ROOT

TEXT = (ROOT / "docs" / "query.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
LINES = [line.partition(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
PLAIN = [line for line in LINES if line.startswith("dmlcli query") and "|" not in line]
PIPES = [line for line in LINES if line not in PLAIN]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mission: Mission) -> Path:
    """The folder that the page speaks of; its model is the descriptor with an inference graph, which has maps."""
    place = tmp_path_factory.mktemp("cookbook")
    (place / "photos").mkdir()
    with (place / "catalog.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "product", "category", "price"])
        for number, product in enumerate(sorted((SAMPLE / "catalog").glob("*/*"))):
            if number % 4 and product.name != "mug-tall-stripes":
                continue
            for file in sorted(product.glob("*.jpg"))[:2]:
                target = place / "catalog" / product.parent.name / product.name / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
                table.writerow([target.relative_to(place), product.name, product.parent.name, number / 4])
    query = next((SAMPLE / "queries" / "mug-tall-stripes").glob("*.jpg"))
    for name in ("img.jpg", "front.jpg", "back.jpg", "photos/a.jpg", "photos/b.jpg"):
        shutil.copy(query, place / name)
    model = mission.workspace / "frozen"
    dmlcli.index(place / "catalog.csv", model=model, workspace=place / ".dmlcli")
    dmlcli.embed(place / "photos", model=model, workspace=place / ".dmlcli", output=place / "photos.npz")
    np.save(place / "photo.npy", np.load(place / "photos.npz")["embeddings"][0])
    return place


def test_the_page_has_commands() -> None:
    assert len(PLAIN) > 20 and len(PIPES) == 4 and not [line for line in LINES if not line]


@pytest.mark.parametrize("line", PLAIN)
def test_a_command_answers(folder: Path, cli: Cli, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = cli(*shlex.split(line)[1:])
    no = ("--min-score" in line or "--max-false-accepts" in line) and not found.out  # the answer may be no there
    assert found.code == (1 if no else 0), found.err
    if " -o " in line:
        assert Path(line.rpartition(" ")[2]).stat().st_size > 100 and not found.out
        return
    assert no or found.out.count("\t") >= 4


@pytest.mark.slow
@pytest.mark.parametrize("line", PIPES)
@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("jq") is None, reason="there is no bash, or no jq")
def test_a_pipeline_runs(folder: Path, line: str) -> None:
    script = f'set -eo pipefail; dmlcli() {{ "{sys.executable}" -m dmlcli "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    report = (folder / "products.tsv").read_text() if ">" in line else done.stdout
    assert report.strip()
