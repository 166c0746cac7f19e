"""Geometry of embeddings: number of directions in use, and distances within and between products."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMES = ("pcf@V",)
_BLOCK = 8192  # rows in double precision at once


def explained(name: str) -> float | None:
    """Return the share of the variance in a name like pcf@0.5; None where the name is another.

    >>> explained("pcf@0.5"), explained("auc")
    (0.5, None)
    """
    found = re.fullmatch(r"pcf@(0?\.\d+)", name)
    return float(found[1]) if found else None


def components_fraction(vectors: NDArray[np.float32], share: float) -> float | None:
    """Return how many principal components hold more than a share of the variance, as a fraction of D.

    Args:
        vectors: (N, D).
        share: of the variance, in (0, 1).

    Source: open-metric-learning, `calc_pcf`.
    """
    variance = _spectrum(vectors, vectors.mean(axis=0, dtype=np.float64))
    if not variance.sum() > 1e-12:
        return None
    held = np.cumsum(variance) / variance.sum()
    components = int(np.searchsorted(held, share, side="right")) + 1
    return components / int(vectors.shape[1])


def shape(vectors: NDArray[np.float32], products: Sequence[str]) -> dict[str, float | int | None]:
    """Return statistics of unit vectors (N, D), from second moments and a sum for each product.

    spectral_decay: KL divergence of the singular values, the first left out, from uniform; 0 uses all directions alike.
    directions50, 90, 99: principal components that hold this share of the variance.
    intra, inter: mean cosine distance within a product and between two; intra_inter their ratio, lower is better.

    Source: Roth et al., Revisiting Training Strategies, ICML 2020, section 4 (spectral decay and density).
    """
    singular = np.sqrt(_spectrum(vectors))[1:]
    variance = _spectrum(vectors, vectors.mean(axis=0, dtype=np.float64))
    found: dict[str, float | int | None] = {"spectral_decay": _divergence(singular)}
    share = np.cumsum(variance) / variance.sum() if variance.sum() > 1e-12 else None
    for percent in (50, 90, 99):
        found[f"directions{percent}"] = int(np.searchsorted(share, percent / 100) + 1) if share is not None else None
    return found | _distances(vectors, products)


def _spectrum(vectors: NDArray[np.float32], center: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
    """Return the D eigenvalues of the mean outer product of the rows, less `center`, in descending order.

    Of fewer rows than directions, from their products with each other: it has the same eigenvalues, but for zeros.
    """
    n, dim = vectors.shape
    if n < dim:
        rows = vectors.astype(np.float64) - center
        moments = rows @ rows.T / n  # (N, N)
    else:
        moments = np.zeros((dim, dim))
        for start in range(0, n, _BLOCK):
            rows = vectors[start : start + _BLOCK].astype(np.float64) - center
            moments += rows.T @ rows / n
    values = np.clip(np.linalg.eigvalsh(moments)[::-1], 0, None)
    return np.pad(values, (0, dim - len(values)))


def _divergence(singular: NDArray[np.float64]) -> float | None:
    if not singular.sum() > 0:
        return None
    share = np.clip(singular / singular.sum(), 1e-12, None)
    return float(-np.log(share * len(share)).mean())


def _distances(rows: NDArray[np.float32], products: Sequence[str]) -> dict[str, float | int | None]:
    """Return mean distances over all pairs, from sums: the dot product of two sums is the sum of all dot products."""
    _, codes = np.unique(np.asarray(products), return_inverse=True)
    counts = np.bincount(codes).astype(np.float64)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(counts)))
    sums = np.add.reduceat(rows[order], starts, axis=0, dtype=np.float64)
    own = (sums**2).sum(axis=1)
    several = counts > 1
    pairs = (counts * (counts - 1))[several]
    squares = np.bincount(codes, weights=(rows**2).sum(axis=1, dtype=np.float64))
    intra = float(1 - ((own - squares)[several] / pairs).mean()) if several.any() else None
    across = len(rows) ** 2 - (counts**2).sum()
    inter = float(1 - ((sums.sum(axis=0) ** 2).sum() - own.sum()) / across) if across else None
    return {"intra": intra, "inter": inter, "intra_inter": intra / inter if intra is not None and inter else None}
