"""Grouping of image hits by product."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.types import Vectors

Pool = Literal["max", "mean", "vote"]
VOTERS = 20  # closest images that vote
COMPARED = 200  # closest images whose products are compared by their means


class ImageCandidate(NamedTuple):
    """One image that may become a hit; `cosine` is how close it is, `score` what it is ranked by."""

    id: int
    product: str
    image: Path
    cosine: float
    score: float
    images: int = 1  # of its product, that were folded into it


def fold(
    candidates: Sequence[ImageCandidate], pool: Pool, mean_of: Callable[[Sequence[str]], NDArray[np.float32]]
) -> list[ImageCandidate]:
    """Return one candidate per product, best first, shown by its best image; images without a product stay separate.

    Args:
        candidates: best first.
        pool: max: score of the best image; mean: mean cosine of the images of the product that may be hits; vote: share
            of the scores of the 20 closest images that belong to the product.
        mean_of: returns the mean cosine with the query of the images of each product.
    """
    groups: dict[str, list[ImageCandidate]] = defaultdict(list)
    for candidate in candidates if pool != "vote" else candidates[:VOTERS]:
        groups[candidate.product or f"\0{candidate.id}"].append(candidate)
    best = [group[0]._replace(images=len(group)) for group in groups.values()]
    if pool == "max":
        return best
    if pool == "mean":
        named = [candidate.product for candidate in best if candidate.product]
        means = dict(zip(named, mean_of(named).tolist(), strict=True))
        scores = [means.get(candidate.product, candidate.score) for candidate in best]
    else:
        shares = np.array([sum(max(one.score, 0.0) for one in group) for group in groups.values()])
        scores = (shares / (shares.sum() or 1)).tolist()
    folded = [candidate._replace(score=score) for candidate, score in zip(best, scores, strict=True)]
    return sorted(folded, key=lambda candidate: -candidate.score)


def unit_mean(vectors: Vectors) -> Vectors:
    """Return the unit vector (D,) of the mean of (N, D)."""
    mean = np.asarray(vectors, dtype=np.float32).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)
