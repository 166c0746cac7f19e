"""The searches that score models: images that are never fitted on, ranked by their embeddings."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dmlcli.embeddings import Vectors
from dmlcli.held_out_scores import METRICS
from dmlcli.learn.validation.folds import Search
from dmlcli.metrics import Interval, Values, interval95, map_at_r, score
from dmlcli.product_score import RECALL_AT
from dmlcli.ranking import Groups, ProductRanks, Ranks, rankings
from dmlcli.ranking import search as search_rows
from dmlcli.types import Rows


class Searches:
    """The validation searches of one fold; false where nothing is held out."""

    def __init__(self, products: Sequence[str], searches: Mapping[str, Search]) -> None:
        """`products` (N,) of all images; the rows of `searches` are their positions."""
        every = [row for search in searches.values() for row in (*search.queries, *search.gallery)]
        self.rows = sorted(set(every))  # what has to be embedded for a score
        self._products, self._searches = products, searches

    def __bool__(self) -> bool:
        return bool(self._searches)

    @property
    def by_name(self) -> Mapping[str, Search]:
        """The searches, whose rows are those of all images."""
        return self._searches

    @property
    def names(self) -> list[str]:
        """What the searches are called."""
        return list(self._searches)

    def positions(self, name: str) -> list[int]:
        """Return where the images of a search, queries and gallery, stand among `rows`."""
        search = self._searches[name]
        return [int(place) for place in np.searchsorted(self.rows, sorted({*search.queries, *search.gallery}))]

    def query_products(self, name: str) -> list[str]:
        """Return the product of each query of a search."""
        return [self._products[row] for row in self._searches[name].queries]

    def rank(self, name: str, vectors: Vectors) -> list[Ranks]:
        """Search with the unit vectors (len(rows), D): for each query the ranks of its product's images."""
        queries, gallery, products, own_rows = self._sides(name)
        return rankings(vectors[queries], vectors[gallery], self.query_products(name), products, own_rows=own_rows)

    def _sides(self, name: str) -> tuple[Rows, Rows, list[str], Rows | None]:
        """Return the places of queries and gallery in `rows`, the product of each gallery image, and the own rows."""
        search = self._searches[name]
        queries, gallery = np.searchsorted(self.rows, search.queries), np.searchsorted(self.rows, search.gallery)
        products = [self._products[row] for row in search.gallery]
        own_rows = np.searchsorted(search.gallery, search.queries) if {*search.queries} <= {*search.gallery} else None
        return queries, gallery, products, own_rows

    def product_ranks(self, name: str, vectors: Vectors, weight: float) -> Ranks:
        """Return the rank of the right product of each query (Q,), without those that no image can be found for.

        Args:
            name: of the search.
            vectors: (len(rows), D), unit length.
            weight: of `product_score`, which products are ranked by.
        """
        queries, gallery, products, own_rows = self._sides(name)
        ranks = ProductRanks(products, weight)
        groups = Groups(self.query_products(name), products)
        every = search_rows(vectors[queries], vectors[gallery], groups, own_rows=own_rows)
        return np.array([ranks.rank(one.right, one.wrong) for one in every if len(one.right)], dtype=np.int64)

    def product_recall(self, name: str, vectors: Vectors, weight: float) -> dict[str, float]:
        """Return Recall@K by product in [0, 1] of one search, for the usual K; none where nothing can be found.

        Args:
            name: of the search.
            vectors: (len(rows), D), unit length.
            weight: of `product_score`, in [0, 1].
        """
        ranks = self.product_ranks(name, vectors, weight)
        return {f"product_recall@{k}": float((ranks <= k).mean()) for k in RECALL_AT} if len(ranks) else {}

    def scores(self, vectors: Vectors) -> dict[str, float]:
        """MAP@R in [0, 1] of each search with the unit vectors (len(rows), D); what cannot be found does not count."""
        return {name: float(np.nanmean(values)) for name, values in self._values(vectors).items()}

    def query_scores(self, vectors: Vectors) -> dict[str, dict[str, list[float | None]]]:
        """Return the scores of each query (Q,) by search and metric; None where no image can be found."""
        found = {}
        for name in self._searches:
            values = score(self.rank(name, vectors), METRICS)
            found[name] = {
                metric: [None if np.isnan(one) else float(one) for one in values[metric]] for metric in values
            }
        return found

    def scores_with_intervals(self, vectors: Vectors) -> tuple[dict[str, float], dict[str, Interval | None]]:
        """Return the scores, and the 95 % interval of each over its products."""
        values = self._values(vectors)
        intervals = {name: interval95(found, self.query_products(name)) for name, found in values.items()}
        return {name: float(np.nanmean(found)) for name, found in values.items()}, intervals

    def _values(self, vectors: Vectors) -> dict[str, Values]:
        """Return MAP@R of each query of each search, NaN where no image could be found."""
        found = {}
        for name in self._searches:
            values = [map_at_r(ranks) if len(ranks) else np.nan for ranks in self.rank(name, vectors)]
            found[name] = np.asarray(values if np.isfinite(values).any() else [0.0] * len(values))
        return found


def geometric_mean(scores: Iterable[float]) -> float:
    """Return one score in [0, 1] from several: their geometric mean, in which equal relative gains count the same."""
    values = list(scores)
    return float(np.prod(values) ** (1 / len(values)))
