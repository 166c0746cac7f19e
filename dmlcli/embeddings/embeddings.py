"""Unit vectors, and the image that each of them was computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmlcli.catalog import Item
from dmlcli.errors import EmbeddingsError
from dmlcli.types import Vectors


class FileState(NamedTuple):
    """The state of a file, which shows whether it has changed without reading it.

    A file that takes the place of another with the same size and modification time has another inode, or another time
    of change, which no program can set.
    """

    size: int  # bytes
    mtime_ns: int
    digest: str  # of the content
    inode: int = 0  # 0: unknown
    ctime_ns: int = 0


@dataclass(frozen=True)
class Embeddings:
    """Row i of `vectors` is the embedding of `items[i]`; `model` is the fingerprint of what made them.

    `views` says which views of each image were averaged, "" for the plain one that queries are embedded by.
    """

    root: Path
    items: list[Item]
    states: list[FileState]
    vectors: Vectors
    model: str
    views: str = ""

    @property
    def products(self) -> list[str]:
        """The product of each row."""
        return [item.product for item in self.items]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    def only(self, split: str | None) -> "Embeddings":
        """Return the rows of one split, all for None."""
        if split is None:
            return self
        rows = [row for row, item in enumerate(self.items) if item.split == split]
        if not rows:
            raise EmbeddingsError(
                f"no row of the embeddings has split '{split}'", hint="embed the catalog with --split-column"
            )
        return self.take(rows)

    def take(self, rows: Sequence[int]) -> "Embeddings":
        """Return the given rows."""
        items, states = [self.items[row] for row in rows], [self.states[row] for row in rows]
        return replace(self, items=items, states=states, vectors=self.vectors[np.asarray(rows, dtype=np.int64)])
