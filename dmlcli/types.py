"""Type aliases for the arrays and functions that modules exchange."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]  # (3, H, W) of one image or (B, 3, H, W) of several, normalized
Box = tuple[float, float, float, float]  # of an image: left, top, right, bottom in pixels, fractions allowed
Vectors = NDArray[np.float32]  # (N, D), each of unit length
Scores = NDArray[np.float32]  # similarities, of one query (N,) or of several (Q, N)
Rows = NDArray[np.int64]  # (n,) places in a matrix or a list
Ids = NDArray[np.int64]  # (n,) of the images of an index, which are never used twice
Ranks = NDArray[np.int64]  # of one query's relevant images, ascending, from 1
View = Callable[[bytes], Pixels]  # the bytes of an image file to (3, H, W)
Forward = Callable[[Pixels], Vectors]  # (B, 3, H, W) to (B, D)
