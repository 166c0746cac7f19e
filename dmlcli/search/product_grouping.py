"""Grouping of image hits by product."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from dmlcli.indexes.gallery import Found
from dmlcli.product_score import BEST, COMPARED, product_score
from dmlcli.types import Scores, Vectors

Pool = Literal["max", "top3", "mean", "vote"] | float  # a number: the weight of `product_score`
VOTERS = 20  # closest images that vote
LISTED = 100  # closest images among which products are looked for that are compared by several of their images
LISTED_MEAN = 200  # the same for --pool mean


class ImageCandidate(NamedTuple):
    """One image that may become a hit; `cosine` is how close it is, `score` what it is ranked by."""

    id: int
    product: str
    row: Found  # what the search found
    cosine: float
    score: float
    images: int = 1  # of its product, that were folded into it


def fold(
    candidates: Sequence[ImageCandidate], pool: Pool, cosines_of: Callable[[Sequence[str]], Sequence[Scores]]
) -> list[ImageCandidate]:
    """Return one candidate per product, best first, shown by its best image; images without a product stay separate.

    Args:
        candidates: best first.
        pool: max: score of the best image; top3: mean cosine of the best three images; mean: mean cosine of
            all images that may be hits; vote: share of the scores of the 20 closest images that belong to the product;
            a number: the score with this weight. By top3 and a number, the products with the best images are ordered;
            the others follow.
        cosines_of: returns the cosines with the query of the images of each product that may be hits.
    """
    groups = _groups(candidates if pool != "vote" else candidates[:VOTERS])
    best = [group[0]._replace(images=len(group)) for group in groups.values()]
    if pool == "max" or pool == 0:
        return best
    if pool == "vote":
        shares = np.array([sum(max(one.score, 0.0) for one in group) for group in groups.values()])
        return _sorted(best, (shares / (shares.sum() or 1)).tolist())
    if pool == "mean":
        every = [candidate.product for candidate in best if candidate.product]
        means = {product: float(found.mean()) for product, found in zip(every, cosines_of(every), strict=True)}
        return _sorted(best, [means.get(candidate.product, candidate.score) for candidate in best])
    weight = 1.0 if pool == "top3" else float(pool)
    known = compared(candidates, cosines_of)
    scores = [product_score(cosines, weight) for cosines in known.values()]
    floor = min(scores, default=0.0)
    rest = [candidate._replace(score=min(candidate.score, floor)) for candidate in best[len(scores) :]]
    return _sorted(best[: len(scores)], scores) + rest


def compared(
    candidates: Sequence[ImageCandidate], cosines_of: Callable[[Sequence[str]], Sequence[Scores]]
) -> dict[str, Scores]:
    """Return the best cosines of the first products, three of each at least if it has as many, by `key`.

    Args:
        candidates: best first.
        cosines_of: returns the cosines with the query of the images of each product that may be hits.
    """
    groups = dict(list(_groups(candidates).items())[:COMPARED])
    known = {name: np.array([one.cosine for one in group], np.float32) for name, group in groups.items()}
    few = [name for name, group in groups.items() if len(group) < BEST and group[0].product]  # others may lie deeper
    return known | dict(zip(few, cosines_of(few), strict=True))


def key(candidate: ImageCandidate) -> str:
    """Return the product of an image; an image without one is a product of its own."""
    return candidate.product or f"\0{candidate.id}"


def _groups(candidates: Sequence[ImageCandidate]) -> dict[str, list[ImageCandidate]]:
    groups: dict[str, list[ImageCandidate]] = defaultdict(list)
    for candidate in candidates:
        groups[key(candidate)].append(candidate)
    return groups


def _sorted(candidates: Sequence[ImageCandidate], scores: Sequence[float]) -> list[ImageCandidate]:
    """Return the candidates with new scores, best first."""
    scored = [candidate._replace(score=score) for candidate, score in zip(candidates, scores, strict=True)]
    return sorted(scored, key=lambda candidate: -candidate.score)


def listed(pool: Pool) -> int:
    """Return how many images a search returns at least, for its products to be compared."""
    if pool == "mean":
        return LISTED_MEAN
    return VOTERS if pool in ("max", "vote", 0) else LISTED


def spell(pool: Pool) -> str:
    """Return how products are scored, in words."""
    return pool if isinstance(pool, str) else f"{1 - pool:.2f} best image + {pool:.2f} best three"


def unit_mean(vectors: Vectors) -> Vectors:
    """Return the unit vector (D,) of the mean of (N, D)."""
    mean = np.asarray(vectors, dtype=np.float32).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)
