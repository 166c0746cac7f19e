"""The quickest search that will do: by tiles where queries are searched among themselves, else row by row."""

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
    """Search every query (Q, D) among the gallery (G, D), both of unit length; what is found comes in any order.

    Args:
        products: what is right for each query.
        own_rows: (Q,) the gallery row that is the query itself, which it may not find; None where there is none.
        excluded: what else a query may not find.
        observe: who needs all similarities of a query; they are called in turn, and may write into them.
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
    """Whether tiles are quicker, and whether similarities are the same both ways (a zero vector's are not)."""
    return queries > tile and products.size() <= _FEW * queries and bool(gallery.any(axis=1).all())


def rankings(
    queries: Scores,
    gallery: Scores,
    query_products: Sequence[str],
    gallery_products: Sequence[str],
    *,
    own_rows: Rows | None = None,
) -> list[Ranks]:
    """The ranks of every query's relevant images; `own_rows` as for `find`."""
    ranks = [np.empty(0, dtype=np.int64)] * len(queries)
    for found in find(queries, gallery, Groups(query_products, gallery_products), own_rows=own_rows):
        ranks[found.query] = found.ranks
    return ranks
