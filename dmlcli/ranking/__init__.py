"""Between search and score: exact search of one set of vectors in another, told as the ranks of the relevant images.

found   what is right for a query (Groups), and what came of it (Found)
rows    every similarity of each query, for those who need them all
tiles   leave-one-out at half the work: each product of two images serves both as queries
choose  the quicker of the two that will do

Ties count against the search: whatever is wrong and as close as something right is ranked before it, so a model that
maps everything to one point scores 0.
"""

from dmlcli.ranking.relevance import TIE, Found, Groups, Ranks, Rows, Scores
from dmlcli.ranking.row_search import Similarities, block_rows, rank, search
from dmlcli.ranking.search import find, rankings

__all__ = [
    "TIE",
    "Found",
    "Groups",
    "Ranks",
    "Rows",
    "Scores",
    "Similarities",
    "block_rows",
    "find",
    "rank",
    "rankings",
    "search",
]
