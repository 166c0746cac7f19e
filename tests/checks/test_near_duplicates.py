"""Groups of near-identical vectors are those of brute force, also where vectors are sorted into cells first."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dmlcli.checks import near_duplicates


def clustered(count: int, copies: int, seed: int = 0, dim: int = 32) -> NDArray[np.float32]:
    """Unit vectors, the last of them near copies of the first."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    noise = generator.standard_normal((copies, dim)).astype(np.float32)
    rows[count - copies :] = rows[:copies] + 0.02 * noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def partition(group: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(group == number).tolist()) for number in set(group.tolist()) - {-1}}


def by_brute_force(rows: NDArray[np.float32], threshold: float) -> set[frozenset[int]]:
    close = rows @ rows.T >= threshold
    reach = np.linalg.matrix_power(close.astype(np.float64), 16) > 0
    parts = {frozenset(np.flatnonzero(row).tolist()) for row in reach}
    return {part for part in parts if len(part) > 1}


@pytest.mark.parametrize("threshold", [0.95, 0.7, 0.55])
@pytest.mark.parametrize("outright", [8192, 40])
def test_groups_are_those_of_brute_force(threshold: float, outright: int) -> None:
    rows = clustered(300, 60)
    found = near_duplicates.group(len(rows), rows.__getitem__, threshold, outright)
    expected = by_brute_force(rows, threshold)
    if threshold == 0.95:
        assert partition(found.group) == expected and len(expected) == 60
        assert found.score[found.group >= 0].min() >= threshold
    elif outright == 8192:
        assert partition(found.group) == expected and not found.crowded


def test_in_cells_hardly_any_copy_is_missed() -> None:
    rows = clustered(3000, 500, dim=64)
    found = near_duplicates.group(len(rows), rows.__getitem__, 0.95, outright=300)
    assert (found.group[:500] == found.group[2500:]).mean() > 0.99 and (found.group[500:2500] == -1).all()


@pytest.mark.parametrize("outright", [8192, 50])
def test_vectors_that_are_all_alike_are_one_group(outright: int) -> None:
    rows = np.tile(clustered(1, 0), (400, 1))
    found = near_duplicates.group(len(rows), rows.__getitem__, 0.95, outright)
    assert (found.group == 0).all() and found.score.max() <= 1 and found.crowded == (outright > 64)


def test_alone_and_none_are_no_group() -> None:
    rows = clustered(5, 0)
    assert (near_duplicates.group(5, rows.__getitem__, 0.99).group == -1).all()
    assert len(near_duplicates.group(0, rows.__getitem__, 0.99).group) == 0
