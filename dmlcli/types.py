"""Type aliases for the arrays and functions that modules exchange."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]  # (3, H, W) of one image or (B, 3, H, W) of several, normalized
Vectors = NDArray[np.float32]  # (N, D), each of unit length
View = Callable[[bytes], Pixels]  # the bytes of an image file to (3, H, W)
Forward = Callable[[Pixels], Vectors]  # (B, 3, H, W) to (B, D)
