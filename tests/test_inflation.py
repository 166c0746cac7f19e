"""Is a leave-one-out score flattered? Said where series or copies make it so, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dmlcli.catalog import Item, Photo
from dmlcli.checks.inflation import leave_one_out
from tests.conftest import SAMPLE, encoded, photo
from tests.places import SHARED


def shelf(session: float, seed: int = 0, products: int = 20) -> tuple[NDArray[np.float32], list[Item]]:
    """Vectors of products photographed on two days; `session` is how much of a vector is the day."""
    generator = np.random.default_rng(seed)
    vectors, items = [], []
    for product in range(products):
        looks = generator.standard_normal(24)
        for day in ("mon", "tue"):
            shared = generator.standard_normal(24)
            for shot in range(10):
                vectors.append(looks + session * shared + 1.1 * generator.standard_normal(24))
                items.append(Item(f"{product}/{day}_{shot:03}.jpg", str(product)))
    rows = np.asarray(vectors, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), items


def test_series_that_find_each_other_are_said() -> None:
    found = leave_one_out(*shelf(2.0), root=None)
    assert found.queries == 400 and found.recall_at_1 is not None and found.without_series is not None
    assert found.without_others is not None and found.without_others - found.without_series > 0.2
    assert len(found.evidence) == 1 and "40 series such as mon_000-009" in found.evidence[0]


@pytest.mark.parametrize("seed", range(5))
def test_series_that_do_not_matter_are_not_said(seed: int) -> None:
    """The same names, but photos of one day are no more alike than others: fewer images are not an inflation."""
    found = leave_one_out(*shelf(0.0, seed), root=None)
    assert found.queries == 400 and not found.evidence
    assert found.without_series is not None and found.without_others == pytest.approx(found.without_series, abs=0.05)


def test_without_series_nothing_is_asked() -> None:
    vectors, items = shelf(2.0)
    plain = [item._replace(path=f"{row}/{row}.jpg") for row, item in enumerate(items)]
    found = leave_one_out(vectors, plain, root=None)
    assert not found.evidence and found.without_series == found.without_others == found.recall_at_1
    whole = [item._replace(path=f"{item.product}/{row % 20}.jpg") for row, item in enumerate(items)]
    assert leave_one_out(vectors, whole, root=None).queries == 0


def test_a_source_is_a_series() -> None:
    vectors, items = shelf(2.0)
    named = [item._replace(path=f"{row}.jpg", source=item.path[-11:-8]) for row, item in enumerate(items)]
    assert leave_one_out(vectors, named, root=None).evidence


def test_copies_that_find_each_other_are_said(tmp_path: Path) -> None:
    vectors, items = shelf(0.0, products=4)
    half = np.repeat(vectors[::2], 2, axis=0)
    for row, item in enumerate(items):
        (tmp_path / item.path).parent.mkdir(exist_ok=True)
        (tmp_path / item.path).write_bytes(encoded(photo(row // 2), "JPEG", quality=70 + 20 * (row % 2)))
    found = leave_one_out(half, items, tmp_path)
    assert found.compared == 80 and found.copies == 1 and "closest image of 100 % of 80" in found.evidence[-1]
    assert not leave_one_out(half, items, tmp_path / "gone").compared


def test_few_images_are_no_evidence_and_no_error() -> None:
    vectors, items = shelf(2.0, products=1)
    for count in (0, 1, 2, 12):
        assert not leave_one_out(vectors[:count], items[:count], None).evidence


def test_the_sample_is_not_inflated() -> None:
    files = sorted((SAMPLE / "catalog").glob("*/*/*.jpg"))
    items = [Item(str(file.relative_to(SAMPLE)), file.parent.name) for file in files]
    vectors = np.random.default_rng(0).standard_normal((len(items), 16)).astype(np.float32)
    codes = np.unique([item.product for item in items], return_inverse=True)[1]
    vectors[:, :8] += 3 * vectors[codes * 8, :8]
    found = leave_one_out(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), items, SAMPLE)
    assert found.compared == 300 and found.copies == 0 and not found.evidence


@pytest.mark.skipif(not (SHARED / "data" / "grocery").is_dir(), reason="needs the grocery photos in ../shared/data")
def test_grocery_is_inflated() -> None:
    """By the colours of the thumbnails alone, without any network."""
    from dmlcli.checks import fingerprint
    from dmlcli.checks.scan import miniatures

    root = SHARED / "data" / "grocery"
    files = sorted((root / "pear").glob("*/*.jpg"))
    items = [Item(str(file.relative_to(root)), file.parent.name) for file in files]
    looked = np.stack([row for row in miniatures([Photo(file, None) for file in files]) if row is not None])
    found = leave_one_out(fingerprint.unit(fingerprint.small(looked)), items, root)
    assert len(found.evidence) == 1 and found.evidence[0].startswith("shots of one series find each other")
