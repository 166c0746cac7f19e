"""Is a leave-one-out score flattered by copies or by series of shots? Evidence from the very vectors that are scored.

Leaving out only the query itself asks "which photo of this product is closest to this one?"; where a photo's own series
stays in the gallery, the answer is the next frame. So the search is asked again without the query's series, and,
since fewer images of a product are harder to find by any search, once more without as many others of its images. What
lies between the two is what the series alone is worth.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from dmlcli import metrics
from dmlcli.catalog import Item, Photo
from dmlcli.checks.copies import is_alike
from dmlcli.checks.scan import miniatures
from dmlcli.checks.series import series_of
from dmlcli.report import Inflation

_QUERIES = 2000  # drawn where there are more: a share is known to a percent
_FILES = 300  # of these, how many are compared with their closest image
_ENOUGH = 30  # queries or pairs; with fewer, a share says nothing
_FLATTERY = 0.05  # of Recall@1, or of queries whose closest image is a copy, from which a score misleads
_SCORES = 1 << 24  # of queries with images that are held at once: 64 MB


def leave_one_out(vectors: NDArray[np.float32], items: Sequence[Item], root: Path | None, seed: int = 0) -> Inflation:
    """How far Recall@1 of a leave-one-out search owes to shots of one series, and to copies of a picture.

    Args:
        vectors: (N, D) unit vectors of the items; may be memory-mapped.
        root: where the files of the items lie; None, or files that are gone: copies are not looked for.
        seed: of the queries that are drawn.
    """
    generator = np.random.default_rng(seed)
    vectors = np.asarray(vectors, dtype=np.float32)
    _, labels = np.unique([item.product for item in items], return_inverse=True)
    named = np.array([bool(item.product) for item in items], dtype=np.bool_)
    counts = np.bincount(labels)[labels]
    usable = np.flatnonzero(named & (counts > 1))
    drawn = np.sort(generator.choice(usable, size=min(len(usable), _QUERIES), replace=False))
    series = series_of(items)
    _, groups = np.unique(series, return_inverse=True)
    in_series = np.array([bool(name) for name in series], dtype=np.bool_)
    groups = np.where(in_series, groups, -1 - np.arange(len(items)))  # alone where in none
    first, right = _first_hits(vectors, labels, groups, drawn, generator)
    products = [items[row].product for row in drawn]
    recalls = [metrics.mean(column) for column in right.T]
    gap = right[:, 2] - right[:, 1]
    interval = metrics.interval95(gap, products, seed)
    asked = int((~np.isnan(gap)).sum())
    compared, copies = _copies(items, root, drawn, first, generator)
    found = Inflation(asked, recalls[0], recalls[1], recalls[2], interval, compared, copies)
    return replace(found, evidence=(*_of_series(found, series), *_of_copies(found)))


def _first_hits(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    drawn: NDArray[np.int64],
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The closest image of each query (Q,), and whether a search finds its product (Q, 3): with all its other images,
    without those of its series, without as many drawn at random. NaN where all its other images are of its series."""
    by_label = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[by_label], np.arange(labels.max(initial=-1) + 2))
    block = max(1, _SCORES // max(len(labels), 1))
    closest = np.zeros(len(drawn), dtype=np.int64)
    right = np.full((len(drawn), 3), np.nan)
    for start in range(0, len(drawn), block):
        queries = drawn[start : start + block]
        scores = np.asarray(vectors[queries] @ vectors.T)  # (b, N)
        scores[np.arange(len(queries)), queries] = -np.inf
        for place, (query, row) in enumerate(zip(queries, scores, strict=True), start=start):
            closest[place] = row.argmax()
            others = by_label[bounds[labels[query]] : bounds[labels[query] + 1]]
            others = others[others != query]
            of_others = row[others]
            row[others] = -np.inf
            hardest = row.max()  # of the wrong ones; a tie counts against the search
            own = groups[others] == groups[query]
            if own.all():
                continue
            kept = generator.permutation(len(others))[own.sum() :]
            right[place] = [(part > hardest).any() for part in (of_others, of_others[~own], of_others[kept])]
    return closest, right


def _copies(
    items: Sequence[Item],
    root: Path | None,
    drawn: NDArray[np.int64],
    closest: NDArray[np.int64],
    generator: np.random.Generator,
) -> tuple[int, float | None]:
    """Of some queries, how many files could be compared with that of the closest image, and the share of copies."""
    if root is None:
        return 0, None
    some = np.sort(generator.choice(len(drawn), size=min(len(drawn), _FILES), replace=False))
    rows = [row for place in some for row in (drawn[place], closest[place])]
    looked = miniatures([Photo(root / items[row].path, items[row].box) for row in rows])
    both = [(a, b) for a, b in zip(looked[::2], looked[1::2], strict=True) if a is not None and b is not None]
    if not both:
        return 0, None
    alike = is_alike(np.stack([a for a, _ in both]), np.stack([b for _, b in both]))
    return len(both), float(alike.mean())


def _of_series(found: Inflation, series: Sequence[str]) -> Iterator[str]:
    whole, without, beside, interval = (
        found.recall_at_1,
        found.without_series,
        found.without_others,
        found.gap_interval95,
    )
    if whole is None or without is None or beside is None or interval is None or found.queries < _ENOUGH:
        return
    if interval[0] > 0 and beside - without > _FLATTERY:
        names = Counter(name for name in series if name)
        without_own = f"without the query's own series {100 * without:.1f} %"
        without_any = f"without as many other images of its product {100 * beside:.1f} %"
        example = PurePath(names.most_common(1)[0][0]).name
        yield (
            f"shots of one series find each other: Recall@1 is {100 * whole:.1f} %, {without_own}, {without_any} "
            f"({found.queries} queries, {len(names)} series such as {example})"
        )


def _of_copies(found: Inflation) -> Iterator[str]:
    if found.copies is not None and found.compared >= _ENOUGH and found.copies > _FLATTERY:
        share = f"{100 * found.copies:.0f} % of {found.compared} queries"
        yield f"copies find each other: the closest image of {share} is the same picture"
