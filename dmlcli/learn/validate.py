"""The score that chooses between models: MAP@R on the validation images, which are never fitted on."""

from collections.abc import Sequence

import numpy as np

from dmlcli.catalog import TrainingSplit
from dmlcli.embeddings import Vectors
from dmlcli.metrics import map_at_r
from dmlcli.ranking import rankings


class Validation:
    """The validation search of one training run; false where there is nothing to validate with."""

    def __init__(self, products: Sequence[str], split: TrainingSplit) -> None:
        """`products` (N,) of all rows that `split` speaks of."""
        self.rows = sorted({*split.queries, *split.gallery})  # what has to be embedded for a score
        place = {row: position for position, row in enumerate(self.rows)}
        self._queries = np.array([place[row] for row in split.queries], dtype=np.int64)
        self._gallery = np.array([place[row] for row in split.gallery], dtype=np.int64)
        self._products = [products[row] for row in self.rows]
        self._own_rows = np.arange(len(split.queries)) if split.queries == split.gallery else None

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    def score(self, vectors: Vectors) -> float:
        """MAP@R in [0, 1] of the unit vectors (len(rows), D)."""
        found = rankings(
            vectors[self._queries],
            vectors[self._gallery],
            [self._products[place] for place in self._queries],
            [self._products[place] for place in self._gallery],
            own_rows=self._own_rows,
        )
        return float(np.mean([map_at_r(ranks) for ranks in found if len(ranks)] or [0.0]))
