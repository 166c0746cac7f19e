"""Matrices in .npy files, written row by row and never through mapped memory.

A write through mapped memory on a full disk ends the process (SIGBUS); `write` raises an error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dmlcli.storage import failures


@contextmanager
def npy_rows(file: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Yield a function that appends blocks of rows to a new .npy file, whose space is reserved first.

    Args:
        file: the .npy file.
        dtype: of the file; blocks are converted to it.
        shape: of the whole array; exactly this number of rows must be appended.

    Raises:
        OSError: the disk has too little space (NoRoom, before anything is computed), or cannot be written.
        ValueError: a block has the wrong shape, or the number of rows is wrong.
    """
    kind = np.dtype(dtype)
    rows = 0
    with file.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.flush()
        failures.reserve(stream.fileno(), stream.tell() + kind.itemsize * int(np.prod(shape, dtype=np.int64)), file)

        def append(block: NDArray[Any]) -> None:
            nonlocal rows
            if block.shape[1:] != shape[1:]:
                raise ValueError(f"rows of shape {block.shape[1:]} in an array of {shape}")
            stream.write(np.ascontiguousarray(block, dtype=kind).data)
            rows += len(block)

        yield append
        if rows != shape[0]:
            raise ValueError(f"{rows} rows in an array of {shape}")
