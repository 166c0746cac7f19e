"""The Milvus client: one collection of one server, what it is asked, and what its errors mean.

pymilvus itself asks again, with growing pauses, while a server is restarting or has too much to do; the limits here say
for how long.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from dmlcli.embeddings import Vectors
from dmlcli.errors import CannotRun, IndexFileError, nearest
from dmlcli.indexes.items import Ids
from dmlcli.indexes.milvus import kinds, rows
from dmlcli.indexes.milvus.address import TOKEN, Address
from dmlcli.indexes.milvus.conditions import ALWAYS

MOST = 16_384  # hits of a search and rows of a query, by Milvus
_CONNECTING, _READING, _WRITING = 10, 60, 300  # seconds
_AT_ONCE = 4096  # ids in one expression
_AWAY = ("connect", "unavailable", "deadline", "timeout", "timed out", "not ready")  # in what pymilvus says
_FULL = ("no space", "quota", "exceeded", "exhausted", "memory", "too large", "read-only", "deny")


class Server:
    """A connection to the server of an address; every method raises CannotRun where the server cannot."""

    def __init__(self, address: Address, *, make: bool = False) -> None:
        """Args:
            make: whether a file that is not there is made.

        Errors: CannotRun where pymilvus is missing or the server does not answer.
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
            raise IndexFileError(f"there is no {address.server}", hint=f"dmlcli index CATALOG --to {address}")
        _reach_this_machine_directly()
        with self._asking():
            self._client = pymilvus.MilvusClient(
                uri=address.server, token=address.token, db_name=address.database, timeout=_CONNECTING
            )

    def close(self) -> None:
        """Let go of the server, and of the file."""
        with suppress(Exception):  # what was asked is answered
            self._client.close()
            if self.address.is_file:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self.address.server)

    def names(self) -> list[str]:
        """The collections that there are."""
        with self._asking():
            return sorted(self._client.list_collections(timeout=_READING))

    def is_there(self) -> bool:
        """Whether there is the collection; raises IndexFileError where it is not one that dmlcli made."""
        with self._asking():
            if not self._client.has_collection(self.address.collection, timeout=_READING):
                return False
            described = self._client.describe_collection(self.address.collection, timeout=_READING)
        fields = {field["name"] for field in described["fields"]}
        if not fields >= {"id", "vector", "path", "product", *rows.MARKS}:
            raise IndexFileError(
                f"the collection {self.address} was not made by dmlcli", hint="name another one with --to"
            )
        return True

    def need(self) -> None:
        """Raise IndexFileError where there is no such collection, with those there are."""
        if not self.is_there():
            known = self.names()
            raise IndexFileError(
                f"there is no collection {self.address.collection} in {self.address.shown}",
                hint=nearest(self.address.collection, known) if known else f"dmlcli index CATALOG --to {self.address}",
            )

    def create(self, dim: int, columns: Sequence[Sequence[str]], kind: str) -> None:
        """Make the collection, empty, with an index of this kind."""
        types = {
            "INTEGER": self._milvus.DataType.INT64,
            "REAL": self._milvus.DataType.DOUBLE,
            "TEXT": self._milvus.DataType.VARCHAR,
        }
        schema = self._milvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", self._milvus.DataType.INT64, is_primary=True)
        schema.add_field("vector", self._milvus.DataType.FLOAT_VECTOR, dim=dim)
        for field in rows.FIXED[1:]:
            schema.add_field(field.field, self._milvus.DataType.VARCHAR, max_length=rows.LONGEST)
        for name in rows.MARKS:
            schema.add_field(name, self._milvus.DataType.INT64)
        for _, name, of in columns:
            longest = {"max_length": rows.LONGEST} if of == "TEXT" else {}
            schema.add_field(name, types[of], nullable=True, **longest)
        index = self._milvus.MilvusClient.prepare_index_params()
        index.add_index("vector", index_type=kind, metric_type="IP", params=kinds.to_build(kind))
        with self._asking():
            self._client.create_collection(self.address.collection, schema=schema, index_params=index, timeout=_WRITING)

    def drop(self) -> None:
        """Remove the collection with all that is in it."""
        with self._asking():
            self._client.drop_collection(self.address.collection, timeout=_WRITING)

    def load(self) -> None:
        """Make the collection searchable."""
        with self._asking():
            self._client.load_collection(self.address.collection, timeout=_WRITING)

    def flush(self) -> None:
        """Have what was written on the server's disk."""
        with self._asking():
            self._client.flush(self.address.collection, timeout=_WRITING)

    def upsert(self, made: Sequence[dict[str, Any]]) -> None:
        """Write rows, in place of those with the same ids."""
        with self._asking():
            self._client.upsert(self.address.collection, list(made), timeout=_WRITING)

    def delete(self, ids: Ids) -> None:
        """Remove the rows with these ids."""
        for start in range(0, len(ids), _AT_ONCE):
            with self._asking():
                self._client.delete(
                    self.address.collection,
                    ids=ids[start : start + _AT_ONCE].tolist(),
                    timeout=_WRITING,
                )

    def notes(self) -> dict[str, str]:
        """What is kept with the collection."""
        with self._asking():
            return dict(self._client.describe_collection(self.address.collection, timeout=_READING)["properties"])

    def note(self, name: str, text: str) -> None:
        """Keep something with the collection."""
        with self._asking():
            self._client.alter_collection_properties(self.address.collection, {name: text}, timeout=_WRITING)

    def count(self, condition: str = "") -> int:
        """How many images there are, of those for which a condition holds."""
        with self._asking():
            found = self._client.query(
                self.address.collection,
                filter=condition or ALWAYS,
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=_READING,
            )
        return int(found[0]["count(*)"])

    def every(self, fields: Sequence[str], condition: str = "") -> Iterator[list[dict[str, Any]]]:
        """All images for which a condition holds, many at a time, in no order."""
        with self._asking():
            pages = self._client.query_iterator(
                self.address.collection,
                batch_size=MOST // 2,
                filter=condition or ALWAYS,
                output_fields=["id", *fields],
                consistency_level="Strong",
                timeout=_READING,
            )
        while True:
            with self._asking():
                found = pages.next()
            if not found:
                return
            yield list(found)

    def some(self, condition: str, fields: Sequence[str], most: int = MOST) -> list[dict[str, Any]]:
        """Some of the images for which a condition holds."""
        return self._query(condition, ["id", *fields], most)

    def with_ids(self, ids: Sequence[int], fields: Sequence[str]) -> dict[int, dict[str, Any]]:
        """The images with these ids."""
        found: dict[int, dict[str, Any]] = {}
        for start in range(0, len(ids), _AT_ONCE):
            among = ", ".join(map(str, ids[start : start + _AT_ONCE]))
            found |= {row["id"]: row for row in self._query(f"id in [{among}]", ["id", *fields], _AT_ONCE)}
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
        """The k nearest of each vector (Q, D): `id`, `distance` (the inner product) and `entity` (the fields)."""
        with self._asking():
            found = self._client.search(
                self.address.collection,
                data=np.asarray(vectors, dtype=np.float32).tolist(),
                filter=condition,
                limit=k,
                output_fields=list(fields),
                search_params={"metric_type": "IP", "params": settings},
                anns_field="vector",
                timeout=_READING,
                **({"consistency_level": "Strong"} if strong else {}),
            )
        return [list(hits) for hits in found]

    def _query(self, condition: str, fields: Sequence[str], most: int) -> list[dict[str, Any]]:
        with self._asking():
            found: list[dict[str, Any]] = list(
                self._client.query(
                    self.address.collection,
                    filter=condition,
                    output_fields=list(fields),
                    limit=most,
                    consistency_level="Strong",
                    timeout=_READING,
                )
            )
        return found

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Errors of pymilvus, of what carries it and of milvus-lite, as ours."""
        import grpc

        try:
            with _quiet():
                yield
        except (self._milvus.MilvusException, grpc.RpcError, grpc.FutureTimeoutError, OSError, RuntimeError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> CannotRun:
        message = str(getattr(error, "message", "") or error).strip()
        said = message.splitlines()[0] if message else type(error).__name__
        lower = said.lower()
        if any(word in lower for word in _FULL):
            return CannotRun(f"{self.address.shown} takes no more: {said}", hint="make room there, then push again")
        if any(word in lower for word in ("auth", "permission", "privilege")):
            return CannotRun(f"{self.address.shown} refuses: {said}", hint=f"{TOKEN}=user:password says who you are")
        if any(word in lower for word in _AWAY):
            hint = "is another process using the file?" if self.address.is_file else "is it up, and is this its port?"
            return CannotRun(f"{self.address.shown} does not answer: {said}", hint=hint)
        return CannotRun(f"{self.address} cannot be used: {said}")


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
