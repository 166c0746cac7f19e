"""Means over queries, and their confidence intervals by bootstrap over products."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dmlcli.metrics.ranked import is_macro

Values = NDArray[np.float64]  # (Q,) one metric for each query, NaN where it has no answer
Interval = tuple[float, float]  # low and high end, 95 %
_DRAWS = 1000
_CHUNK = 2**22  # numbers drawn at once


def mean(values: Values) -> float | None:
    """Return the mean over queries that have a value; None if there are none.

    >>> mean(np.array([1.0, np.nan, 0.0])), mean(np.array([np.nan]))
    (0.5, None)
    """
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if len(valid) else None


def macro_mean(values: Values, products: Sequence[str]) -> float | None:
    """Return the mean over products of the means of their queries that have a value; None if there are none."""
    sums, counts = _by_product(values, np.unique(np.asarray(products), return_inverse=True)[1])
    return mean(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))


def means(metrics: Mapping[str, Values], products: Sequence[str]) -> dict[str, float | None]:
    """Return the mean of each metric by the rule of its name: over queries, or with `macro_` over products."""
    return {name: macro_mean(v, products) if is_macro(name) else mean(v) for name, v in metrics.items()}


def interval95(values: Values, products: Sequence[str], seed: int = 0, draws: int = _DRAWS) -> Interval | None:
    """Return the 95 % interval of the mean of one metric; see `intervals95`.

    Args:
        values: (Q,) the values of the metric; NaN is left out.
        products: (Q,) the product of each query.
        seed: seed of the bootstrap.
        draws: number of bootstrap samples.
    """
    return intervals95({"": values}, products, seed, draws)[""]


def intervals95(
    metrics: Mapping[str, Values], products: Sequence[str], seed: int = 0, draws: int = _DRAWS
) -> dict[str, Interval | None]:
    """Return 95 % percentile intervals of the means of several metrics, from the same bootstrap samples of products.

    Args:
        metrics: name to values (Q,); a name with `macro_` is a mean over products.
        products: (Q,) the product of each query.
        seed: seed of the bootstrap.
        draws: number of bootstrap samples.

    Returns:
        (low, high) of each metric, or None if fewer than two products have values.

    Source: cluster bootstrap; Davison and Hinkley, Bootstrap Methods, 1997, section 3.8.
    """
    codes = np.unique(np.asarray(products), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    sets: dict[bytes, list[str]] = {}  # metrics that have an answer for the same queries share their draws
    for name, values in metrics.items():
        sets.setdefault(np.isnan(values).tobytes(), []).append(name)
    found: dict[str, Interval | None] = {}
    for names in sets.values():
        sums, counts = zip(*(_by_product(metrics[name], codes) for name in names), strict=True)
        found |= dict(zip(names, _intervals(names, np.stack(sums), np.stack(counts), rng, draws), strict=True))
    return {name: found[name] for name in metrics}


def _intervals(
    names: list[str], sums: NDArray[np.float64], counts: NDArray[np.float64], rng: np.random.Generator, draws: int
) -> list[Interval | None]:
    """Return the intervals of metrics by product: sums (M, C) over counts (M, C) of queries."""
    present = counts[0] > 0
    sums, counts = sums[:, present], counts[:, present]
    products = sums.shape[1]
    if products < 2:
        return [None] * len(names)
    for row, name in enumerate(names):
        if is_macro(name):
            sums[row], counts[row] = sums[row] / counts[row], 1.0
    means = []
    for start in range(0, draws, step := max(1, _CHUNK // products)):
        size = min(step, draws - start)
        drawn = rng.multinomial(products, np.full(products, 1 / products), size=size).astype(np.float64)
        means.append((drawn @ sums.T) / (drawn @ counts.T))  # (size, M)
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _by_product(values: Values, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the answers of each product, and their number."""
    valid = ~np.isnan(values)
    size = int(codes.max(initial=-1)) + 1
    sums: Values = np.bincount(codes[valid], weights=values[valid], minlength=size).astype(np.float64)
    return sums, np.bincount(codes[valid], minlength=size).astype(np.float64)
