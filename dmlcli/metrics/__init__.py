"""Retrieval metrics: of ranks, of pairs and of clusters, with intervals.

ranked        Recall@K, MAP@R, precision and so on, from ranks
confidence    means over queries, and bootstrap intervals over products
verification  auc, eer, fnmr@fmr, from pairs
consistency   opis: whether one threshold suits all products
clusters      NMI, AMI and F1 of a clustering
geometry      how many directions embeddings use, and how tight products are

Nothing in `ranked` and `confidence` sees a vector: a ranking is the sorted list of ranks (from 1) at which a query's
relevant images came. `verification`, `consistency`, `clusters` and `geometry` measure what ranks do not show.
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
