"""The Milvus client: one collection of one server, what it is asked, and what its errors mean.

pymilvus by itself asks again where a server has too much to do; where it is away, it is asked again here.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dmlcli import progress
from dmlcli.embeddings import Vectors
from dmlcli.errors import CannotRun, IndexFileError, nearest
from dmlcli.indexes.milvus import entities, index_params
from dmlcli.indexes.milvus.address import TOKEN, Address
from dmlcli.indexes.milvus.filters import ALWAYS
from dmlcli.types import Ids

MOST = 16_384  # hits of a search and rows of a query, by Milvus
_CONNECTING, _READING, _WRITING = 10, 60, 300  # seconds
_AT_ONCE = 4096  # ids in one expression
_PAUSES = (1, 2, 4, 8, 16, 32)  # seconds, before a server that is away is asked again
# words of what pymilvus says when …
_AWAY = ("connect", "unavailable", "open local", "deadline", "timeout", "timed out", "not ready")
_REFUSED = ("auth", "permission", "privilege")
_FULL = ("no space", "quota", "exceeded", "exhausted", "memory", "too large", "read-only", "deny")


class Server:
    """A connection to the server of an address; every method raises CannotRun where the server cannot."""

    def __init__(self, address: Address, *, make: bool = False) -> None:
        """Args:
            make: whether a file that is not there is made.

        Raises:
            CannotRun: pymilvus is missing, or the server does not answer.
        """
        self.address = address
        try:
            with _quiet():
                import pymilvus

                if address.is_file:
                    import milvus_lite  # noqa: F401  pymilvus only says that something is missing
        except ImportError as error:
            raise CannotRun(
                f"{address} needs {error.name}, which is not installed", hint="pip install 'dmlcli[milvus]'"
            ) from error
        self._milvus = pymilvus
        if address.is_file and not make and not Path(address.server).exists():
            raise IndexFileError(f"file not found: {address.server}", hint=f"dmlcli index CATALOG --to {address}")
        _reach_this_machine_directly()
        self._client = self._ask(
            lambda: pymilvus.MilvusClient(
                uri=address.server, token=address.token, db_name=address.database, timeout=_CONNECTING
            ),
            pauses=(),
        )

    def close(self) -> None:
        """Close the connection, or the file."""
        with suppress(Exception):  # what was asked is answered
            self._client.close()
            if self.address.is_file:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self.address.server)

    def names(self) -> list[str]:
        """The collections that there are."""
        return sorted(self._ask(lambda: self._client.list_collections(timeout=_READING)))

    def is_there(self) -> bool:
        """Whether there is the collection; raises IndexFileError where it is not one that dmlcli made."""
        if not self._ask(lambda: self._client.has_collection(self.address.collection, timeout=_READING)):
            return False
        fields = {field["name"] for field in self._described()["fields"]}
        if not fields >= {"id", "vector", "path", "product", "box", *entities.MARKS}:
            raise IndexFileError(
                f"the collection {self.address} was not made by dmlcli", hint="name another one with --to"
            )
        return True

    def need(self) -> None:
        """Raise IndexFileError with the existing collections if this one does not exist."""
        if not self.is_there():
            known = self.names()
            raise IndexFileError(
                f"collection {self.address.collection} not found in {self.address.shown}",
                hint=nearest(self.address.collection, known) if known else f"dmlcli index CATALOG --to {self.address}",
            )

    def create(self, dim: int, columns: Sequence[Sequence[str]], kind: str) -> None:
        """Create the empty collection, with an index.

        Args:
            dim: length of the vectors.
            columns: names and types of the user's columns.
            kind: of the index.
        """
        of = self._milvus.DataType
        types = {"INTEGER": of.INT64, "REAL": of.DOUBLE, "TEXT": of.VARCHAR}
        schema = self._milvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", of.INT64, is_primary=True)
        schema.add_field("vector", of.FLOAT_VECTOR, dim=dim)
        for field in entities.FIXED[1:]:
            schema.add_field(field.field, of.VARCHAR, max_length=entities.LONGEST)
        schema.add_field("box", of.VARCHAR, max_length=entities.LONGEST)
        for name in entities.MARKS:
            schema.add_field(name, of.INT64)
        for _, name, written in columns:
            longest = {"max_length": entities.LONGEST} if written == "TEXT" else {}
            schema.add_field(name, types[written], nullable=True, **longest)
        index = self._milvus.MilvusClient.prepare_index_params()
        index.add_index("vector", index_type=kind, metric_type="IP", params=index_params.to_build(kind))
        self._ask(
            lambda: self._client.create_collection(
                self.address.collection, schema=schema, index_params=index, timeout=_WRITING
            )
        )

    def drop(self) -> None:
        """Remove the collection with all that is in it."""
        self._ask(lambda: self._client.drop_collection(self.address.collection, timeout=_WRITING))

    def load(self) -> None:
        """Make the collection searchable."""
        self._ask(lambda: self._client.load_collection(self.address.collection, timeout=_WRITING))

    def flush(self) -> None:
        """Have what was written on the server's disk."""
        self._ask(lambda: self._client.flush(self.address.collection, timeout=_WRITING))

    def upsert(self, made: Sequence[dict[str, Any]]) -> None:
        """Write rows, in place of those with the same ids."""
        self._ask(lambda: self._client.upsert(self.address.collection, list(made), timeout=_WRITING))

    def delete(self, ids: Ids) -> None:
        """Remove the rows with these ids."""
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE].tolist()
            self._ask(partial(self._client.delete, self.address.collection, ids=some, timeout=_WRITING))

    def notes(self) -> dict[str, str]:
        """What is kept with the collection."""
        return dict(self._described()["properties"])

    def note(self, name: str, text: str) -> None:
        """Keep something with the collection."""
        note = {name: text}
        self._ask(lambda: self._client.alter_collection_properties(self.address.collection, note, timeout=_WRITING))

    def count(self, condition: str = ALWAYS) -> int:
        """How many images there are for which a condition holds."""
        found = self._ask(
            lambda: self._client.query(
                self.address.collection,
                filter=condition,
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=_READING,
            )
        )
        return int(found[0]["count(*)"])

    def every(self, fields: Sequence[str], condition: str = ALWAYS) -> Iterator[list[dict[str, Any]]]:
        """All images for which a condition holds, many at a time, in no order."""
        pages = self._ask(
            lambda: self._client.query_iterator(
                self.address.collection,
                batch_size=MOST // 2,
                filter=condition,
                output_fields=["id", *fields],
                consistency_level="Strong",
                timeout=_READING,
            )
        )
        while found := self._ask(pages.next):
            yield list(found)

    def some(self, condition: str, fields: Sequence[str], most: int = MOST) -> list[dict[str, Any]]:
        """Return some of the images that satisfy a condition.

        Args:
            condition: in Milvus' syntax.
            fields: that are returned.
            most: the number of images.
        """
        found = self._ask(
            lambda: self._client.query(
                self.address.collection,
                filter=condition,
                output_fields=["id", *fields],
                limit=most,
                consistency_level="Strong",
                timeout=_READING,
            )
        )
        return list(found)

    def with_ids(self, ids: Sequence[int], fields: Sequence[str]) -> dict[int, dict[str, Any]]:
        """The images with these ids."""
        found: dict[int, dict[str, Any]] = {}
        for start in range(0, len(ids), _AT_ONCE):
            among = ", ".join(map(str, ids[start : start + _AT_ONCE]))
            found |= {row["id"]: row for row in self.some(f"id in [{among}]", fields, _AT_ONCE)}
        return found

    def search(
        self,
        vectors: Vectors,
        k: int,
        settings: dict[str, Any],
        fields: Sequence[str] = (),
        condition: str = "",
        strong: bool = False,
    ) -> list[list[dict[str, Any]]]:
        """Return the k nearest images of each vector: `id`, `distance` (the inner product) and `entity` (the fields).

        Args:
            vectors: (Q, D), unit length.
            k: number of images.
            settings: search parameters of the index.
            fields: that are returned.
            condition: in Milvus' syntax; empty: all images.
            strong: read all writes of other clients.
        """
        consistency = {"consistency_level": "Strong"} if strong else {}
        found = self._ask(
            lambda: self._client.search(
                self.address.collection,
                data=np.asarray(vectors, dtype=np.float32).tolist(),
                filter=condition,
                limit=k,
                output_fields=list(fields),
                search_params={"metric_type": "IP", "params": settings},
                anns_field="vector",
                timeout=_READING,
                **consistency,
            )
        )
        return [list(hits) for hits in found]

    def _described(self) -> dict[str, Any]:
        described: dict[str, Any] = self._ask(
            lambda: self._client.describe_collection(self.address.collection, timeout=_READING)
        )
        return described

    def _ask(self, ask: Callable[[], Any], pauses: Sequence[int] = _PAUSES) -> Any:
        """The answer; a server that is away is asked again after pauses, since all that is asked may be asked twice.

        Raises:
            CannotRun: pymilvus, grpc or milvus-lite raised an error.
        """
        import grpc

        failures = (self._milvus.MilvusException, grpc.RpcError, grpc.FutureTimeoutError, OSError, RuntimeError)
        waits = iter(pauses)
        while True:
            try:
                with _quiet():
                    return ask()
            except failures as error:
                said = _said(error)
                pause = next(waits, None) if _is_away(said) else None
                if pause is None:
                    raise self._reported(said) from error
            progress.note(f"{self.address.shown} does not answer: it is asked again in {pause} s")
            time.sleep(pause)

    def _reported(self, said: str) -> CannotRun:
        """What went wrong, and what to do about it."""
        lower = said.lower()
        if _is_away(said):
            hint = "is another process using the file?" if self.address.is_file else "is it up, and is this its port?"
            return CannotRun(f"{self.address.shown} does not answer: {said}", hint=hint)
        if any(word in lower for word in _FULL):
            return CannotRun(f"{self.address.shown} is full: {said}", hint="free space there, then push again")
        if any(word in lower for word in _REFUSED):
            return CannotRun(f"{self.address.shown} refuses: {said}", hint=f"{TOKEN}=user:password says who you are")
        return CannotRun(f"{self.address} cannot be used: {said}", hint="--debug shows the whole trace")


def _is_away(said: str) -> bool:
    return any(word in said.lower() for word in _AWAY)


def _said(error: Exception) -> str:
    """The first line of an error."""
    message = str(getattr(error, "message", "") or error).strip()
    return message.splitlines()[0] if message else type(error).__name__


def _reach_this_machine_directly() -> None:
    """Let no proxy come between this process and a server on the same machine, which milvus-lite always is."""
    others = os.environ.get("no_proxy", "")
    os.environ.setdefault("no_grpc_proxy", ",".join(filter(None, [others, "localhost", "127.0.0.1", "::1"])))


@contextmanager
def _quiet() -> Iterator[None]:
    """pymilvus logs what it raises as well, and on importing warns of what it does not need."""
    import warnings

    for name in ("pymilvus", "milvus_lite", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
