"""The report as a page: one file, the worst first, nothing from outside, and no name that becomes markup."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from dmlcli import embeddings
from tests.catalog.test_boxes import looks_like, scene
from tests.commands.test_eval import blobs
from tests.conftest import Cli, encoded, make_embeddings, photo, photos_of


def test_the_worst_products_stand_first_with_their_photos(cli: Cli, shop: Path, tmp_path: Path) -> None:
    """Vectors that take product 0 for product 1, over real pictures."""
    angles = np.radians([0, 60, 120, 1, 61, 121, 200, 201, 202, 300, 301, 302])
    paths = [f"product-{n // 3:02}/{n % 3}.png" for n in range(12)]
    np.savez(
        tmp_path / "e.npz",
        embeddings=np.stack([np.cos(angles), np.sin(angles)], axis=1),
        labels=[path.partition("/")[0] for path in paths],
        paths=[str(shop / path) for path in paths],
    )
    page = tmp_path / "report.html"
    found = cli("eval", tmp_path / "e.npz", "--html", page)
    assert found.code == 0 and str(page) in found.err
    text = page.read_text()
    cards = re.findall(r'<div class="card"><h3>(.*?)</h3>', text)
    assert cards == ["product-00", "product-01"] and text.index("Worst products") < text.index("Scores")
    assert "confused with product-01, 3 times" in text and len(photos_of(text)) >= 4
    assert (
        not re.search(r'(src|href)="(?!data:|#)', text)
        and "http://" not in text
        and "https://" not in text
        and "<svg" in text
    )


def test_products_that_stand_on_one_photo_are_shown_apart(cli: Cli, tmp_path: Path) -> None:
    """Two shelves with a mug and a pot each; on either, each is taken for the other."""
    for gallery_items in ("0.png", "1.png"):
        (tmp_path / gallery_items).write_bytes(encoded(scene()))
    angles = np.radians([0, 1, 60, 61])
    paths = ["0.png", "0.png", "1.png", "1.png"]
    made = make_embeddings(np.stack([np.cos(angles), np.sin(angles)], axis=1), ["mug", "pot"] * 2, paths)
    halves = [(0.0, 0.0, 48.0, 40.0), (48.0, 0.0, 96.0, 40.0)] * 2
    items = [item._replace(box=half) for item, half in zip(made.items, halves, strict=True)]
    embeddings.save(tmp_path / "e", replace(made, root=tmp_path, items=items))
    assert cli("eval", tmp_path / "e", "--html", tmp_path / "r.html").code == 0
    text = (tmp_path / "r.html").read_text()
    shown = [Image.open(io.BytesIO(data)) for data in photos_of(text)]
    looks = [[product for product in (1, 2) if looks_like(one, photo(product))] for one in shown]
    assert looks[:4] == [[1], [2], [2], [1]]  # cards: a mug taken for a pot, and the other way round
    assert len(looks) == 4 + 4 * 4 + 4 and all(len(one) == 1 for one in looks)  # misses with 3 hits each, pairs


def test_names_cannot_become_markup(cli: Cli, tmp_path: Path) -> None:
    names = np.array(["<script>alert(1)</script>", "a & b"] * 4)
    np.savez(tmp_path / "e.npz", embeddings=np.random.default_rng(0).normal(size=(8, 3)), labels=names)
    assert cli("eval", tmp_path / "e.npz", "--html", tmp_path / "r.html").code == 0
    text = (tmp_path / "r.html").read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_comparison_literature_and_provenance_are_on_the_page(cli: Cli, tmp_path: Path) -> None:
    one, other = blobs(tmp_path / "a.npz", 0.5), blobs(tmp_path / "b.npz", 2.0)
    cli("eval", one, "--against", other, "--published", "cars", "--html", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    for part in ("Against ", "better", "Proxy-Anchor", "this one", "not comparable", "fingerprint of gallery", "seed"):
        assert part in text, part


def test_a_place_that_cannot_be_written_is_answered_first(cli: Cli, tmp_path: Path) -> None:
    found = cli("eval", tmp_path / "gone.npz", "--html", tmp_path / "no" / "r.html")
    assert found.code == 4 and "folder not found" in found.err
