"""What is read again and what is not, a catalog that vanishes, and memory."""

import os
import shutil
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmlcli.catalog import Catalog, Item, open_catalog
from dmlcli.embeddings import Computed, Embeddings, compute
from dmlcli.errors import CatalogError
from dmlcli.image import Pixels
from tests.conftest import make_shop

DIM = 2048
PNG = b"\x89PNG\r\n\x1a\n"  # without it no file is read


def view(data: bytes) -> Pixels:
    return np.frombuffer(data[-64:], np.uint8).astype(np.float32).reshape(1, 8, 8)


def forward(batch: Pixels) -> Pixels:
    return np.tile(batch.reshape(len(batch), -1), (1, DIM // 64)) + 1


def computed(catalog: Catalog, known: Embeddings | None = None, trusting: bool = True) -> Computed:
    return compute(catalog, view, forward, "m", known=[known] if known else [], trusting=trusting)


def numbered(root: Path, count: int) -> Catalog:
    """Files of one size that all differ."""
    root.mkdir()
    for number in range(count):
        (root / f"{number}.bmp").write_bytes(PNG + f"{number:064}".encode())
    return Catalog(root, [Item(f"{number}.bmp", "p") for number in range(count)])


def same_times(file: Path) -> None:
    os.utime(file, ns=(1_000_000_000, 1_000_000_000))


def test_photos_that_change_places_are_noticed_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    catalog = numbered(tmp_path / "shop", 3)
    for file in catalog.root.iterdir():
        same_times(file)
    before = computed(catalog).embeddings
    one, other = catalog.root / "0.bmp", catalog.root / "1.bmp"
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    after = computed(catalog, before)
    assert after.fresh == 0
    assert [state.digest for state in after.embeddings.states] == [before.states[row].digest for row in (1, 0, 2)]
    assert np.array_equal(after.embeddings.vectors, before.vectors[[1, 0, 2]])


def test_a_photo_written_over_in_place_is_noticed_though_its_time_was_set_back(tmp_path: Path) -> None:
    catalog = numbered(tmp_path / "shop", 2)
    same_times(catalog.root / "0.bmp")
    before = computed(catalog).embeddings
    (catalog.root / "0.bmp").write_bytes(PNG + b"x" * 64)
    same_times(catalog.root / "0.bmp")
    assert computed(catalog, before).fresh == 1


def test_a_copy_with_other_inodes_is_read_but_not_embedded_again(tmp_path: Path) -> None:
    catalog = numbered(tmp_path / "shop", 3)
    before = computed(catalog).embeddings
    shutil.copytree(catalog.root, tmp_path / "copy")
    copied = replace(catalog, root=tmp_path / "copy")
    after = computed(copied, replace(before, root=tmp_path / "copy"))
    assert after.fresh == 0 and np.array_equal(after.embeddings.vectors, before.vectors)


def test_nothing_is_taken_unread_where_files_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = numbered(tmp_path / "shop", 3)
    before = computed(catalog).embeddings
    read: list[Path] = []

    def reading(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    monkeypatch.setattr(sys.modules["dmlcli.embeddings.compute"], "read_file", reading)
    assert computed(catalog, before).fresh == 0 and not read
    assert computed(catalog, before, trusting=False).fresh == 0 and len(read) == 3


@pytest.mark.parametrize("gone", ["root", "folder"])
def test_a_catalog_that_vanishes_stops_everything(tmp_path: Path, gone: str) -> None:
    catalog = open_catalog(make_shop(tmp_path / "shop", products=4, images=10))
    kept: list[Embeddings] = []

    def vanishing(batch: Pixels) -> Pixels:
        shutil.rmtree(catalog.root if gone == "root" else catalog.root / "product-03", ignore_errors=True)
        return forward(batch)

    with pytest.raises(CatalogError, match="disappeared while"):
        compute(catalog, view, vanishing, "m", batch_size=2, keep=kept.append)
    assert sum(len(part.items) for part in kept) >= 2  # what was embedded is not lost


def test_files_that_were_never_there_are_only_skipped(tmp_path: Path) -> None:
    catalog = numbered(tmp_path / "shop", 3)
    catalog.items.extend(Item(f"no{number}.bmp", "p") for number in range(9))
    found = computed(catalog)
    assert len(found.embeddings.items) == 3 and len(found.skipped) == 9


def test_rows_follow_their_images_where_some_could_not_be_read(tmp_path: Path) -> None:
    catalog = numbered(tmp_path / "shop", 40)
    whole = computed(catalog).embeddings
    for number in (0, 7, 8):
        (catalog.root / f"{number}.bmp").unlink()
    left = [row for row in range(40) if row not in (0, 7, 8)]
    found = computed(catalog).embeddings
    assert [item.path for item in found.items] == [f"{row}.bmp" for row in left]
    assert np.array_equal(found.vectors, whole.vectors[left])


def test_memory_grows_by_little_more_than_a_vector_an_image(tmp_path: Path) -> None:
    peaks = []
    for count in (200, 800):
        catalog = numbered(tmp_path / str(count), count)
        tracemalloc.start()
        computed(catalog)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 600 < 1.3 * 4 * DIM
