"""The fields of a row of a collection, and the record that identifies a collection of dmlcli.

A row is an image: `id`, `vector`, `path`, `product`, `category`, the user's own columns as `own_…`, typed as in the
item table, its `box` in its file, and two keys: `content` identifies the image, `state` also its
values, from which a push finds what has changed.

The record is a property of the collection, so it stays with the collection when that is renamed.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dmlcli.embeddings import Embeddings, box_cell
from dmlcli.errors import CannotRun, IndexFileError
from dmlcli.indexes import item_table
from dmlcli.indexes.milvus.filters import Field
from dmlcli.types import Ids

SCHEMA = 1
RECORD, NOTE = "dmlcli.record", "dmlcli.note"  # properties of a collection
LONGEST = 65_535  # bytes of a text, by Milvus
FIXED = (
    Field("id", "id", "INTEGER", may_be_empty=False),
    Field("path", "path", "TEXT", may_be_empty=False),
    Field("product", "product", "TEXT", may_be_empty=False),
    Field("category", "category", "TEXT", may_be_empty=False),
)
MARKS = ("content", "state")
_ODD = "\x01"  # begins a name that is not UTF-8, which Milvus does not take
_MOST_COLUMNS = (
    64 - len(FIXED) - len(MARKS) - 2
)  # fields, one of them the vector and one the box, that a collection may have


@dataclass(frozen=True)
class Record:
    """The record of a collection: one field for each key of its property."""

    model: str  # fingerprint, "" for embeddings of another tool
    model_folder: str  # where that model lay, "" where there was none
    views: str
    root: str
    dim: int
    kind: str
    columns: list[list[str]]  # of the user: name, field, kind
    next_id: int  # ids are never used twice
    whole: bool  # whether the last push came to its end
    pushed: str  # when: differs between any two pushes

    @property
    def fields(self) -> list[Field]:
        """Everything that --where may name."""
        return [*FIXED, *(Field(name, field, kind) for name, field, kind in self.columns)]

    def as_text(self) -> str:
        """As it is stored."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=True)


def record_of(text: str, shown: str) -> Record:
    """A record as it was stored; raises IndexFileError where it is none."""
    try:
        stored = json.loads(text)
        if stored.pop("schema") != SCHEMA:
            raise ValueError("it was written by another version of dmlcli")
        return Record(**stored)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IndexFileError(
            f"the record of {shown} is damaged: {error}", hint="dmlcli index --to … --replace"
        ) from error


def columns_of(embeddings: Embeddings) -> tuple[list[item_table.Column], list[list[str]]]:
    """The user's own columns, and what they are called in a collection."""
    own = item_table.columns(embeddings)
    if len(own) > _MOST_COLUMNS:
        raise CannotRun(
            f"the catalog has {len(own)} columns of its own, and a collection takes {_MOST_COLUMNS}",
            hint="omit columns that are not used in filters",
        )
    taken: set[str] = set()
    named = []
    for column in own:
        field = "own_" + re.sub(r"\W", "_", column.name, flags=re.ASCII)[:200]
        while field.lower() in taken:
            field += "_"
        taken.add(field.lower())
        named.append([column.name, field, column.kind])
    return own, named


def contents(embeddings: Embeddings) -> Ids:
    """A mark (N,) of each row's image and what it shows."""
    marks = item_table.content_marks(embeddings)
    return np.array(
        [_mark(item.path, mark) for item, mark in zip(embeddings.items, marks, strict=True)], dtype=np.int64
    )


class Rows:
    """The rows of embeddings as a collection takes them."""

    def __init__(self, embeddings: Embeddings, content: Ids) -> None:
        self._embeddings, self._content = embeddings, content
        self._own, self.columns = columns_of(embeddings)
        self.states: Ids = np.array([self._state(row) for row in range(len(content))], dtype=np.int64)

    def at(self, rows: Sequence[int], ids: Ids) -> Iterator[dict[str, Any]]:
        """These rows under their ids; raises CannotRun for a text that is longer than Milvus takes."""
        for row in rows:
            item = self._embeddings.items[row]
            made = {
                "id": int(ids[row]),
                "vector": np.ascontiguousarray(self._embeddings.vectors[row], dtype=np.float32),
                "path": stored(item.path),
                "product": stored(item.product),
                "category": stored(item.category),
                "box": box_cell(item.box),
                "content": int(self._content[row]),
                "state": int(self.states[row]),
                **self._typed(row),
            }
            for name, value in made.items():
                if isinstance(value, str) and len(value.encode()) > LONGEST:
                    raise CannotRun(f"{item.path}: its {name} is longer than the {LONGEST} bytes that Milvus takes")
            yield made

    def _typed(self, row: int) -> dict[str, Any]:
        cells = item_table.cells(self._embeddings.items[row], self._own)
        return {field: _typed(cell, kind) for cell, (_, field, kind) in zip(cells, self.columns, strict=True)}

    def _state(self, row: int) -> int:
        item = self._embeddings.items[row]
        return _mark(str(self._content[row]), item.product, item.category, box_cell(item.box), repr(self._typed(row)))


def stored(name: str) -> str:
    """A name as Milvus takes it: one that is not UTF-8 is written in hexadecimal."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return _ODD + os.fsencode(name).hex()
    return name


def name(stored: str) -> str:
    """A name as it was before it was stored."""
    return os.fsdecode(bytes.fromhex(stored[1:])) if stored.startswith(_ODD) else stored


def _typed(cell: str | None, kind: str) -> int | float | str | None:
    if cell is None:
        return None
    return int(cell) if kind == "INTEGER" else float(cell) if kind == "REAL" else stored(cell)


def _mark(*parts: str) -> int:
    """64 bits that tell texts apart."""
    joined = "\0".join(parts).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "little", signed=True)
