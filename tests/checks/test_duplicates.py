"""Two photos that are one, found without comparing all with all."""

from pathlib import Path

import numpy as np
import pytest

from dmlcli.catalog import Catalog, Item
from dmlcli.checks import duplicates, perceptual_hash
from dmlcli.checks.scan import Scan


def scanned(gray_thumbnails: perceptual_hash.GrayThumbnails) -> Scan:
    """The scan of photos that are all different files."""
    scan = Scan(len(gray_thumbnails))
    scan.comparable[:] = True
    scan.digests[:, 0] = np.arange(1, len(gray_thumbnails) + 1)
    scan.hashes[:] = perceptual_hash.hashes(gray_thumbnails)
    scan.small[:] = perceptual_hash.small(gray_thumbnails)
    return scan


def pictures(count: int, seed: int = 0) -> perceptual_hash.GrayThumbnails:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def disturbed(gray_thumbnails: perceptual_hash.GrayThumbnails, seed: int = 1) -> perceptual_hash.GrayThumbnails:
    noise = np.random.default_rng(seed).normal(0, 8, gray_thumbnails.shape)
    return (gray_thumbnails + noise).clip(0, 255).astype(np.uint8)


def by_brute_force(gray_thumbnails: perceptual_hash.GrayThumbnails) -> set[tuple[int, int]]:
    one, other = np.triu_indices(len(gray_thumbnails), 1)
    alike = duplicates.is_alike(gray_thumbnails[one], gray_thumbnails[other])
    return set(zip(one[alike].tolist(), other[alike].tolist(), strict=True))


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_near_copies_are_those_of_brute_force(count: int) -> None:
    originals = pictures(count)
    both = np.concatenate([originals, disturbed(originals)])
    found = duplicates.alike(scanned(both), np.zeros((0, 2), dtype=np.int64))
    assert {tuple(pair) for pair in found.tolist()} == by_brute_force(both)
    assert len(found) == count


def test_a_crowd_of_copies_is_one_row_each() -> None:
    crowd = np.concatenate([np.repeat(pictures(1), 200, axis=0), pictures(20, seed=5)])
    crowd = disturbed(crowd)
    items = [Item(f"{row}.jpg", "mug") for row in range(len(crowd))]
    problems = list(duplicates.problems(Catalog(Path("/shop"), items), scanned(crowd)))
    assert len(problems) == 199 and {problem.problem for problem in problems} == {"near-duplicate"}


def test_equal_files_are_reported_of_once_by_their_first() -> None:
    scan = scanned(pictures(4))
    scan.digests[3] = scan.digests[2] = scan.digests[0]
    assert duplicates.identical(scan).tolist() == [[0, 2], [0, 3]]


def test_unread_files_are_no_copies_of_each_other() -> None:
    scan = Scan(3)
    assert not len(duplicates.identical(scan)) and not len(duplicates.alike(scan, duplicates.identical(scan)))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (Item("b.jpg", "mug", split="train"), "duplicate"),
        (Item("b.jpg", "mug", split="test"), "across-splits"),
        (Item("b.jpg", "cup", split="train"), "two-products"),
        (Item("b.jpg", "cup", split="test"), "two-products"),
        (Item("b.jpg", "", split="train"), "duplicate"),
    ],
)
def test_a_copy_is_classified_by_its_place(second: Item, expected: str) -> None:
    scan = scanned(pictures(2))
    scan.digests[1] = scan.digests[0]
    (problem,) = duplicates.problems(Catalog(Path("/shop"), [Item("a.jpg", "mug", split="train"), second]), scan)
    assert (problem.problem, problem.path, problem.other) == (expected, "/shop/b.jpg", "/shop/a.jpg")


def test_a_row_that_is_there_twice_is_said_to_be() -> None:
    scan = scanned(pictures(2))
    scan.digests[1] = scan.digests[0]
    (problem,) = duplicates.problems(Catalog(Path("/shop"), [Item("a.jpg", "mug"), Item("a.jpg", "cup")]), scan)
    assert (problem.problem, problem.detail) == ("listed-twice", "one file, under mug and cup")


@pytest.mark.parametrize("name", ["hard.jpg", "soft.jpg", "sub/../a.jpg"])
def test_links_to_one_file_are_listed_twice_and_no_duplicates(name: str, tmp_path: Path) -> None:
    """Whoever deletes what is called a duplicate must be left with the picture."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "hard.jpg").hardlink_to(tmp_path / "a.jpg")
    (tmp_path / "soft.jpg").symlink_to("a.jpg")
    scan = scanned(pictures(2))
    scan.digests[1] = scan.digests[0]
    (problem,) = duplicates.problems(Catalog(tmp_path, [Item("a.jpg", "mug"), Item(name, "mug")]), scan)
    assert (problem.problem, problem.detail) == ("listed-twice", "one file")
    assert "do not delete it" in problem.suggestion
