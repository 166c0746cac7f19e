"""The tutorial runs from its first line to its last."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

PARTS = re.findall(r"```(sh|python)\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.usefixtures("weights_package")  # as the page says: with the descriptor, other photos would be refused
def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    mine = tmp_path / "mine"
    mine.mkdir()
    for language, text in PARTS:
        script = text if language == "python" else f'set -e; dmlcli() {{ "{sys.executable}" -m dmlcli "$@"; }}; {text}'
        command = [sys.executable, "-c"] if language == "python" else ["sh", "-c"]
        done = subprocess.run([*command, script], cwd=mine, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
    assert len(PARTS) == 8
    assert (mine / "report.html").stat().st_size > 100_000 and (mine / "answer.png").stat().st_size > 10_000
    products = (mine / "products.csv").read_text().splitlines()
    assert len(products) == 1 + 108
    assert not (mine / "catalog/mug/mug-tall-stripes").exists() and "mug-tall-stripes" in "\n".join(products)
