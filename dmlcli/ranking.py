"""Between search and score: exact search of one set of vectors in another, told as the ranks of the relevant images.

Ties count against the search: whatever is wrong and as close as something right is ranked before it, so a model that
maps everything to one point scores 0.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]  # of one query's relevant images, ascending, from 1
TIE = 1e-6  # cosine similarities closer than this are equal: float32 products are no finer


def rankings(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_products: Sequence[str],
    gallery_products: Sequence[str],
    *,
    own_rows: NDArray[np.int64] | None = None,
    block: int = 256,
) -> list[Ranks]:
    """Search every query (Q, D) among the gallery (G, D), both of unit length; memory is block x G.

    Args:
        own_rows: (Q,) the gallery row that is the query itself and may not be returned; None where there is none.
    """
    _, codes = np.unique(np.concatenate([query_products, gallery_products]), return_inverse=True)
    of_query, of_gallery = codes[: len(queries)], codes[len(queries) :]
    found = []
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ gallery.T  # (block, G)
        for offset, row in enumerate(scores):
            query = start + offset
            relevant = of_gallery == of_query[query]
            candidate = None
            if own_rows is not None:
                candidate = np.ones(len(gallery), dtype=np.bool_)
                candidate[own_rows[query]] = False
            found.append(relevant_ranks(row, relevant, candidate))
    return found


def relevant_ranks(
    scores: NDArray[np.float32], relevant: NDArray[np.bool_], candidate: NDArray[np.bool_] | None = None
) -> Ranks:
    """Ranks of one query's relevant images.

    Args:
        scores: (G,) similarities to the gallery, higher is closer.
        relevant: (G,) which of them show the query's product.
        candidate: (G,) which of them may be returned at all; all by default.

    >>> relevant_ranks(np.float32([0.9, 0.9, 0.1]), np.array([True, False, True])).tolist()
    [2, 3]
    """
    wrong = ~relevant if candidate is None else candidate & ~relevant
    right = np.sort(scores[relevant if candidate is None else candidate & relevant])[::-1]
    ahead = len(scores[wrong]) - np.searchsorted(np.sort(scores[wrong]), right - np.float32(TIE))
    return ahead + np.arange(1, len(right) + 1)
