"""Matrices on disk: the same bytes as NumPy's, without mapped memory."""

from pathlib import Path

import numpy as np
import pytest

from dmlcli import storage
from dmlcli.storage.failures import NoRoom


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(7, 5), (6, 2, 3, 4), (0, 5)])
def test_it_is_the_file_that_numpy_writes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with storage.npy_rows(tmp_path / "a.npy", dtype, shape) as append:
        for start in range(0, len(array), 4):
            append(array[start : start + 4])
    np.save(tmp_path / "b.npy", array.astype(dtype))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_rows_must_be_as_many_and_as_long_as_was_said(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="2 rows in an array"),
        storage.npy_rows(tmp_path / "a", "f4", (3, 2)) as append,
    ):
        append(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="rows of shape"), storage.npy_rows(tmp_path / "a", "f4", (3, 2)) as append:
        append(np.zeros((3, 1)))


def test_space_is_reserved_before_the_first_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(NoRoom) as caught, storage.npy_rows(tmp_path / "a", "f4", (1000, 2)):
        pytest.fail("nothing may be computed")
    assert caught.value.needed == 8128
