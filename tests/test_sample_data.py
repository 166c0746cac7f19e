"""The sample catalog is what its description says, and honest work to search."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SAMPLE, Cli


def script(name: str, *arguments: object) -> None:
    command = [sys.executable, str(SAMPLE / name), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def test_there_are_54_products_with_8_photos_and_2_snapshots() -> None:
    products = sorted((SAMPLE / "catalog").glob("*/*"))
    assert len(products) == 54 and len(list((SAMPLE / "catalog").iterdir())) == 10
    for product in products:
        assert {file.name for file in product.iterdir()} == {f"{number}.jpg" for number in range(1, 9)}
    snapshots = {
        folder.name: sorted(file.name for file in folder.iterdir()) for folder in (SAMPLE / "queries").iterdir()
    }
    assert snapshots == {product.name: ["1.jpg", "2.jpg"] for product in products}


def test_pictures_are_small_and_no_two_are_alike() -> None:
    files = sorted(SAMPLE.rglob("*.jpg"))
    assert sum(file.stat().st_size for file in files) < 4_000_000
    assert len({file.read_bytes() for file in files}) == len(files) == 540
    for file in files[::30]:
        with Image.open(file) as picture:
            assert picture.size == (192, 192)


def test_a_color_histogram_finds_less_than_60_percent(cli: Cli, tmp_path: Path) -> None:
    for part in ("catalog", "queries"):
        script("histogram.py", SAMPLE / part, tmp_path / f"{part}.npz")
    found = cli("eval", tmp_path / "catalog.npz", "--queries", tmp_path / "queries.npz", "--format", "json")
    report = json.loads(found.out)
    assert (report["queries"], report["gallery"], report["without_positive"]) == (108, 432, 0)
    assert 0.1 < report["metrics"]["recall@1"] < 0.6


@pytest.mark.slow
def test_the_script_renders_the_pictures_that_are_here(tmp_path: Path) -> None:
    script("render.py", tmp_path, "--only", "mug-classic-dots")
    made = sorted(tmp_path.rglob("*.jpg"))
    assert len(made) == 10
    for file in made:
        kept = SAMPLE / file.relative_to(tmp_path)
        if file.read_bytes() != kept.read_bytes():  # other versions of the libraries
            with Image.open(file) as one, Image.open(kept) as other:
                difference = np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int))
            assert difference.mean() < 1, file
