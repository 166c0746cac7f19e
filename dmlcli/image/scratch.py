"""Buffers that a thread reuses for the next image, because allocation costs as much as decoding."""

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MOST = 1 << 24  # bytes that are kept for each use and thread; larger buffers are allocated each time
_kept = threading.local()


def scratch(use: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an uninitialized array, valid until this thread calls the function with the same `use` again.

    Args:
        use: the name of the buffer.
        shape: the shape.
        dtype: the type.
    """
    count = math.prod(shape)
    size = count * np.dtype(dtype).itemsize
    if size > _MOST:
        return np.empty(shape, dtype)
    memory = _kept.__dict__.get(use)
    if memory is None or len(memory) < size:
        memory = _kept.__dict__[use] = np.empty(size, np.uint8)
    array: NDArray[Any] = memory[:size].view(dtype).reshape(shape)
    return array
