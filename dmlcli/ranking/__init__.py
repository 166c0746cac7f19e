"""Exact search of one set of vectors in another, with the ranks of the relevant images.

relevance      what is relevant for a query (Groups), and what was found (Found)
row_search     every similarity of each query, for those who need them all
tile_search    leave-one-out at half the work: each product of two images serves both as queries
product_images the images of a gallery, grouped by product
product_ranks  the rank of the right product
dispatch       the faster of the two, where either gives what is needed

Ties count against the search: whatever is wrong and as close as something right is ranked before it, so a model that
maps everything to one point scores 0.
"""

from dmlcli.ranking.dispatch import find, rankings
from dmlcli.ranking.product_images import ProductImages, closest
from dmlcli.ranking.product_ranks import ProductRanks
from dmlcli.ranking.relevance import TIE, Found, Groups
from dmlcli.ranking.row_search import Similarities, block_rows, rank, search
from dmlcli.types import Ranks, Rows, Scores

__all__ = [
    "TIE",
    "Found",
    "Groups",
    "ProductImages",
    "ProductRanks",
    "Ranks",
    "Rows",
    "Scores",
    "Similarities",
    "block_rows",
    "closest",
    "find",
    "rank",
    "rankings",
    "search",
]
