"""Choice of the fastest search: by tiles if queries are searched among themselves, else by rows."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dmlcli.ranking import tile_search
from dmlcli.ranking.relevance import Found, Groups
from dmlcli.ranking.row_search import Similarities, search
from dmlcli.types import Ranks, Rows, Scores

_FEW = 24  # right images of a query up to which counting beats the product that it saves


def find(
    queries: Scores,
    gallery: Scores,
    products: Groups,
    *,
    own_rows: Rows | None = None,
    excluded: Callable[[int], Rows] | None = None,
    observe: Sequence[Callable[[Similarities], None]] = (),
    tile: int = tile_search.SIDE,
) -> Iterator[Found]:
    """Search every query in the gallery, and yield the results in any order.

    Args:
        queries: (Q, D) unit vectors.
        gallery: (G, D) unit vectors.
        products: which gallery rows are relevant to each query.
        own_rows: (Q,) the gallery row of each query itself, which it may not find; None: queries are not in the
            gallery.
        excluded: returns other rows that a query may not find.
        observe: called in turn with all similarities of each query; they may change them.
        tile: side of a tile, a multiple of 8 up to 2040.
    """
    if own_rows is not None and excluded is None and not observe and _by_tiles(gallery, products, len(queries), tile):
        yield from tile_search.search(gallery, own_rows, products, tile)
        return
    for similarities in search(queries, gallery, products, own_rows=own_rows, excluded=excluded):
        found = similarities.found()
        for one in observe:
            one(similarities)
        yield found


def _by_tiles(gallery: Scores, products: Groups, queries: int, tile: int) -> bool:
    """Return whether tiles are quicker, and whether similarities are the same both ways (a zero vector's are not)."""
    return queries > tile and products.size() <= _FEW * queries and bool(gallery.any(axis=1).all())


def rankings(
    queries: Scores,
    gallery: Scores,
    query_products: Sequence[str],
    gallery_products: Sequence[str],
    *,
    own_rows: Rows | None = None,
) -> list[Ranks]:
    """Return the ranks of the relevant images of every query.

    Args:
        queries: (Q, D) unit vectors.
        gallery: (G, D) unit vectors.
        query_products: (Q,) names.
        gallery_products: (G,) names.
        own_rows: (Q,) the gallery row of each query itself, which it may not find; None: queries are not in the
            gallery.
    """
    ranks = [np.empty(0, dtype=np.int64)] * len(queries)
    for found in find(queries, gallery, Groups(query_products, gallery_products), own_rows=own_rows):
        ranks[found.query] = found.ranks
    return ranks
