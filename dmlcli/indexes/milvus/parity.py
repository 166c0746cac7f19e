"""Whether a collection finds what exact search of the same vectors finds, asked over the wire after every push."""

import statistics
import time
from dataclasses import dataclass

import numpy as np

from dmlcli.embeddings import Vectors
from dmlcli.indexes import faiss_kinds
from dmlcli.indexes.milvus.collection import Collection
from dmlcli.types import Ids

_QUERIES, _NEAREST, _TIMED = 400, 10, 20
_TIE = 1e-6  # scores that close are equal: which of two comes first is chance
_ROUNDED = 1e-4  # by how much the score of one pair may differ between two engines


@dataclass(frozen=True)
class Parity:
    """How well and how fast a collection answers."""

    share: float  # of the ten nearest, in [0, 1]
    microseconds: float  # a query, alone, with the way there and back


def measure(collection: Collection, vectors: Vectors, ids: Ids, seed: int = 0) -> Parity:
    """Compare searches in a collection with exact search, by the rank and the score of each hit.

    Args:
        collection: to which the vectors were pushed.
        vectors: (N, D), those that were pushed.
        ids: (N,) of the vectors.
        seed: of the drawn queries.
    """
    import faiss

    chosen = np.random.default_rng(seed).choice(len(vectors), min(_QUERIES, len(vectors)), replace=False)
    queries = np.ascontiguousarray(vectors[np.sort(chosen)], dtype=np.float32)
    k = min(_NEAREST, len(vectors))
    faiss_kinds.use_all_cores()
    exact, _ = faiss.knn(queries, np.ascontiguousarray(vectors, dtype=np.float32), k, metric=faiss.METRIC_INNER_PRODUCT)
    scores, found = collection.nearest(queries, k)
    order = np.argsort(ids)
    rows = order[np.searchsorted(ids, found, sorter=order).clip(max=len(ids) - 1)]  # (Q, k)
    true = np.einsum("qkd,qd->qk", vectors[rows], queries)
    right = (ids[rows] == found) & (true >= exact[:, -1:] - _TIE) & (np.abs(true - scores) <= _ROUNDED)
    took = []
    for query in queries[:_TIMED]:
        started = time.perf_counter()
        collection.nearest(query[None], k)
        took.append(time.perf_counter() - started)
    return Parity(float(right.mean()), 1e6 * statistics.median(took))
