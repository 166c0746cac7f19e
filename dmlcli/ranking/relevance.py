"""Relevance of gallery images to queries, and search results."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dmlcli.types import Ranks, Rows, Scores

TIE = np.float32(1e-6)  # cosine similarities closer than this are equal: float32 products are no finer


class Groups:
    """Gallery rows with the same name (product, category, source) as a query; empty names match nothing."""

    def __init__(self, query_names: Sequence[str], gallery_names: Sequence[str]) -> None:
        names, codes = np.unique([*query_names, *gallery_names], return_inverse=True)
        self.names = names.tolist()
        self.of_query, self.of_gallery = codes[: len(query_names)], codes[len(query_names) :]
        self._order = np.argsort(self.of_gallery, kind="stable")
        self._starts = np.searchsorted(self.of_gallery[self._order], np.arange(len(names) + 1))

    def rows(self, query: int) -> Rows:
        """Return the gallery rows that carry the query's name, ascending."""
        code = self.of_query[query]
        return self._order[self._starts[code] : self._starts[code + 1]] if self.names[code] else self._order[:0]

    def size(self) -> int:
        """Return how many rows all queries have together."""
        sizes = np.diff(self._starts) * [name != "" for name in self.names]
        return int(sizes[self.of_query].sum())


class Found(NamedTuple):
    """What one query found."""

    query: int
    right: Scores  # (R,) similarities to the images of its product, closest first
    right_rows: Rows  # (R,) which gallery rows these are
    ranks: Ranks  # (R,)
    wrong: float  # similarity to the closest image of another, -inf where there is none
    wrong_row: int
