"""What a search is worth: scores of ranks, of pairs and of clusters, and how sure they are.

Nothing in `ranked` and `certainty` sees a vector: a ranking is the sorted list of ranks (from 1) at which a query's
relevant images came. `pairs`, `clusters` and `shape` judge what ranks cannot tell.
"""

from dmlcli.metrics.confidence import Interval, Values, interval95, intervals95, mean
from dmlcli.metrics.ranked import DEFAULT, map_at_r, r_precision, recall_at, score

__all__ = [
    "DEFAULT",
    "Interval",
    "Values",
    "interval95",
    "intervals95",
    "map_at_r",
    "mean",
    "r_precision",
    "recall_at",
    "score",
]
