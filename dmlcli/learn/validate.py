"""The search that judges models: validation images, which are never fitted on, ranked by their embeddings."""

from collections.abc import Sequence

import numpy as np

from dmlcli.catalog import TrainingSplit
from dmlcli.embeddings import Vectors
from dmlcli.metrics import map_at_r
from dmlcli.ranking import Ranks, rankings


class Validation:
    """The validation search of one training run; false where there is nothing to validate with."""

    def __init__(self, products: Sequence[str], split: TrainingSplit) -> None:
        """`products` (N,) of all rows that `split` speaks of."""
        self.rows = sorted({*split.queries, *split.gallery})  # what has to be embedded for a score
        place = {row: position for position, row in enumerate(self.rows)}
        self._queries = np.array([place[row] for row in split.queries], dtype=np.int64)
        self._gallery = np.array([place[row] for row in split.gallery], dtype=np.int64)
        self.query_products = [products[row] for row in split.queries]
        self._gallery_products = [products[row] for row in split.gallery]
        self._own_rows = np.arange(len(split.queries)) if split.queries == split.gallery else None

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    def rank(self, vectors: Vectors) -> list[Ranks]:
        """Search with the unit vectors (len(rows), D): for each query the ranks of its product's images."""
        queries, gallery = vectors[self._queries], vectors[self._gallery]
        return rankings(queries, gallery, self.query_products, self._gallery_products, own_rows=self._own_rows)

    def score(self, vectors: Vectors) -> float:
        """MAP@R in [0, 1] of the unit vectors (len(rows), D); what no model could find does not count."""
        return float(np.mean([map_at_r(ranks) for ranks in self.rank(vectors) if len(ranks)] or [0.0]))
