"""A collection opened for searching: the vectors and the item table of a gallery that lies on a Milvus server."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli import progress
from dmlcli.catalog import Photo
from dmlcli.embeddings import box_of
from dmlcli.errors import CannotRun, IndexFileError, UsageError, nearest
from dmlcli.indexes.gallery import Found, ItemDetails
from dmlcli.indexes.milvus import entities, index_params
from dmlcli.indexes.milvus.address import Address
from dmlcli.indexes.milvus.entities import Record
from dmlcli.indexes.milvus.filters import text, translate
from dmlcli.indexes.milvus.server import MOST, Server
from dmlcli.types import Ids, Vectors

_NUMBERS = 1 << 21  # of vectors that are fetched at once
_QUERIES = 64  # searched at once
_GUESSED_AMONG = 5000  # images looked through for the nearest name


@dataclass(frozen=True)
class Condition:
    """What --where left: an expression of Milvus, and how many images that are."""

    text: str
    count: int

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class Collection:
    """A collection that dmlcli pushed; both halves of a gallery."""

    server: Server = field(repr=False)
    record: Record
    images: int
    _seen: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)  # rows that the last search showed

    most = MOST

    @property
    def place(self) -> str:
        """The address."""
        return str(self.server.address)

    @property
    def root(self) -> Path:
        """What the paths are relative to, on the machine that pushed them."""
        return Path(self.record.root)

    @property
    def model(self) -> str:
        """Fingerprint of the model."""
        return self.record.model

    @property
    def model_folder(self) -> Path | None:
        """Where the model lay on the machine that pushed; None where it is not there on this one."""
        folder = Path(self.record.model_folder)
        return folder if self.record.model_folder and folder.is_dir() else None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.record.dim

    @property
    def kind(self) -> str:
        """Milvus's name of the kind of index."""
        return f"{self.record.kind} on Milvus"

    @property
    def stamp(self) -> bytes:
        """The record, which says when it was pushed."""
        return self.record.as_text().encode()

    def has_changed(self) -> bool:
        """Whether the collection has another record, or another number of images, than when it was opened."""
        record = read_record(self.server)
        return record is not None and (record != self.record or self.server.count() != self.images)

    def search(self, vectors: Vectors, k: int, *, among: Condition | None = None) -> list[list[Found]]:
        """Return the k images closest to each vector, best first.

        Args:
            vectors: (Q, D), unit length.
            k: number of images.
            among: a condition; None: all images.
        """
        if vectors.shape[1] != self.dim:
            raise UsageError(f"the query has {vectors.shape[1]} dimensions, the collection {self.dim}")
        self._seen.clear()
        k = min(k, MOST)
        settings, condition = index_params.to_search(self.record.kind, k), "" if among is None else among.text
        found = []
        for start in range(0, len(vectors), _QUERIES):
            block = vectors[start : start + _QUERIES]
            for hits in self.server.search(block, k, settings, self._shown, condition):
                self._seen.update((hit["id"], hit["entity"]) for hit in hits)
                found.append([self._found(hit) for hit in sorted(hits, key=lambda hit: (-hit["distance"], hit["id"]))])
        return found

    def nearest(self, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], Ids]:
        """Scores and ids (Q, k) of the nearest, as every server shows them by now; id -1 where there are fewer."""
        scores = np.full((len(vectors), k), -np.inf, np.float32)
        ids = np.full((len(vectors), k), -1, np.int64)
        for start in range(0, len(vectors), _QUERIES):
            found = self.server.search(
                vectors[start : start + _QUERIES], k, index_params.to_search(self.record.kind, k), strong=True
            )
            for place, hits in enumerate(found, start):
                scores[place, : len(hits)] = [hit["distance"] for hit in hits]
                ids[place, : len(hits)] = [hit["id"] for hit in hits]
        return scores, ids

    def vectors(self, ids: Sequence[int] | Ids) -> Vectors:
        """The unit vectors (n, D) of these ids; raises KeyError for one that is not there."""
        wanted = np.asarray(ids, dtype=np.int64)
        found = np.empty((len(wanted), self.dim), np.float32)
        step = max(1, _NUMBERS // self.dim)
        for start in range(0, len(wanted), step):
            block = wanted[start : start + step].tolist()
            rows_found = self.server.with_ids(block, ["vector"])
            found[start : start + len(block)] = [rows_found[number]["vector"] for number in block]
        return found

    def where(self, expression: str) -> Condition:
        """The images for which an SQL expression is true; raises UsageError for what Milvus cannot say."""
        condition = translate(expression, self.record.fields)
        return Condition(condition, self.server.count(condition))

    def details(self, ids: Sequence[int]) -> list[ItemDetails]:
        """The category, the user's own columns and the box of items; raises KeyError for an id that is not there."""
        return [self._details(row) for row in self._rows(ids)]

    def _details(self, row: dict[str, Any]) -> ItemDetails:
        own = {name: _value(row.get(field)) for name, field, _ in self.record.columns}
        return ItemDetails(entities.name(row["category"]), own, box_of(row["box"]))

    def columns(self) -> dict[str, int]:
        """The user's own columns, in order; a collection does not record how many decimals their numbers have."""
        return {name: 0 for name, _, _ in self.record.columns}

    def values(self, column: str, most: int) -> list[Any]:
        """Return no values: a server would have to read the whole collection to list them."""
        return []

    def ends(self, column: str) -> tuple[float, float] | None:
        """Return None: a server would have to read the whole collection."""
        return None

    def photo(self, number: int) -> Photo:
        """The image file of an item, and the part of it that it is; raises KeyError for an id that is not there."""
        row = self._row(number)
        return Photo(self.root / entities.name(row["path"]), box_of(row["box"]))

    def product(self, number: int) -> str:
        """The product of an item, "" where it is not known; raises KeyError for an id that is not there."""
        return entities.name(self._row(number)["product"])

    def of_product(self, product: str, among: Condition | None = None) -> Ids:
        """The ids of the images of a product, of those that a filter left; none where it is not known."""
        condition = f"product == {text(entities.stored(product))}"
        return self._ids(f"({condition}) and ({among.text})" if among is not None else condition)

    def of_products(self, products: Sequence[str], among: Condition | None = None) -> list[Ids]:
        """The ids of the images of each product, by one question to the server."""
        if not products:
            return []
        names = ", ".join(text(entities.stored(product)) for product in products)
        condition = f"product in [{names}]" if among is None else f"product in [{names}] and ({among.text})"
        found = self.server.some(condition, ["product"])
        if len(found) == MOST:  # an answer holds no more
            found = [row for page in self.server.every(["product"], condition) for row in page]
        own: dict[str, list[int]] = {product: [] for product in products}
        for row in found:
            own[entities.name(row["product"])].append(row["id"])
        return [np.array(sorted(own[product]), dtype=np.int64) for product in products]

    def named(self, asked: str) -> tuple[Ids, Photo]:
        """The images that --like means: those of a product, or those at a path, and one of them to be shown."""
        ids = self.of_product(asked)
        for path in dict.fromkeys((asked, os.path.relpath(Path(asked).resolve(), self.root))):
            ids = ids if len(ids) else self._ids(f"path == {text(entities.stored(path))}")
        if not len(ids):
            some = self.server.some('product != ""', ["product"], _GUESSED_AMONG)
            known = sorted({entities.name(row["product"]) for row in some})
            raise UsageError(f"nothing in the collection is called '{asked}'", hint=nearest(asked, known))
        return ids, self.photo(int(ids[0]))

    def at_path(self, asked: str, is_file: bool) -> Ids:
        """The ids of the images at a path: of a file that exists here, else also of a path as it was indexed."""
        here = os.path.relpath(Path(asked).resolve(), self.root)
        for path in [here] if is_file else dict.fromkeys((asked, here)):
            if len(ids := self._ids(f"path == {text(entities.stored(path))}")):
                return ids
        return np.empty(0, dtype=np.int64)

    def usual_images(self) -> float:
        """The median number of images of a product; 0 where there are no products."""
        counts = [images for product, images in Counter(self.products()[1]).items() if product]
        return float(np.median(counts)) if counts else 0.0

    def products(self) -> tuple[Ids, list[str]]:
        """Every id, ascending, with its product."""
        found = sorted(
            (row["id"], entities.name(row["product"])) for page in self.server.every(["product"]) for row in page
        )
        return np.array([number for number, _ in found], dtype=np.int64), [product for _, product in found]

    def kept(self) -> dict[str, Any] | None:
        """The note in the collection, None where there is none, or a damaged one."""
        try:
            note = json.loads(self.server.notes().get(entities.NOTE, ""))
        except ValueError:
            return None
        return note if isinstance(note, dict) else None

    def keep(self, note: dict[str, Any]) -> None:
        """Keep a note in the collection, if it may be changed."""
        with suppress(CannotRun):
            self.server.note(entities.NOTE, json.dumps(note))

    @property
    def _shown(self) -> list[str]:
        """The fields of a row that a hit shows."""
        return ["box", *(column.field for column in self.record.fields if column.field != "id")]

    def _row(self, number: int) -> dict[str, Any]:
        return self._rows([number])[0]

    def _rows(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows of items; another thread may search, and so forget what was seen, at any moment."""
        known = {number: row for number in ids if (row := self._seen.get(number))}
        new = [number for number in ids if number not in known]
        known |= self.server.with_ids(new, self._shown) if new else {}
        return [known[number] for number in ids]

    def _ids(self, condition: str) -> Ids:
        found = self.server.some(condition, [])
        if len(found) == MOST:  # an answer holds no more
            found = [row for page in self.server.every([], condition) for row in page]
        return np.array(sorted(row["id"] for row in found), dtype=np.int64)

    def _found(self, hit: dict[str, Any]) -> Found:
        row = hit["entity"]
        score = min(float(hit["distance"]), 1.0)
        return Found(hit["id"], score, entities.name(row["product"]), entities.name(row["path"]), self.root)


def open_collection(address: Address) -> Collection:
    """Open a collection; raises IndexFileError where there is none that dmlcli pushed, naming those there are."""
    server = Server(address)
    server.need()
    server.load()
    record = read_record(server)
    if record is None:
        raise IndexFileError(
            f"{address} holds nothing yet: a push was stopped as it began", hint=f"dmlcli index CATALOG --to {address}"
        )
    if not record.whole:
        progress.warn(f"a push into {address} is under way or was stopped: hits may be missing, or old")
    return Collection(server, record, server.count())


def read_record(server: Server) -> Record | None:
    """The record of a collection; None where its first push was stopped before it was written."""
    stored = server.notes().get(entities.RECORD)
    return entities.record_of(stored, str(server.address)) if stored else None


def _value(stored: Any) -> Any:
    return entities.name(stored) if isinstance(stored, str) else stored
