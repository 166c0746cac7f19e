"""Where a collection lies: `milvus://host:19530/collection` on a server, `milvus:./file.db/collection` in a file.

    milvus://[USER:PASSWORD@]HOST[:PORT][/DATABASE]/COLLECTION       milvuss:// is the same over TLS
    milvus:FILE.db/COLLECTION                                        milvus-lite, in a file of this machine

What opens a server (`user:password`, or the key of a cloud) is better said by MILVUS_TOKEN, which no list of processes
shows; an address never prints it. One slash does for two after the colon, since a path keeps no more of them.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from dmlcli.errors import UsageError
from dmlcli.indexes.gallery import SECURE

TOKEN = "MILVUS_TOKEN"
_PORT = 19530
_NAME = re.compile(r"[A-Za-z_]\w{0,254}", re.ASCII)
_SERVER = re.compile(
    r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:]+\])(:(?P<port>\d{1,5}))?(/(?P<database>[A-Za-z_]\w*))?", re.ASCII
)
_EXAMPLES = "milvus://host:19530/products, or milvus:./file.db/products for a file (milvus-lite)"


@dataclass(frozen=True)
class Address:
    """Which collection of which server; printed as it may be shown to anyone."""

    server: str  # what pymilvus connects to: an http(s) address, or a file
    collection: str
    shown: str  # the server as the user names it, without what opens it
    database: str = ""
    token: str = field(default="", repr=False)

    @property
    def is_file(self) -> bool:
        """Whether milvus-lite serves it from a file."""
        return "://" not in self.server

    def __str__(self) -> str:
        return f"{self.shown}/{self.collection}"


def parse(place: Path | str) -> Address:
    """The address that is written so; raises UsageError where it names no collection."""
    scheme, _, rest = str(place).partition(":")
    where, _, collection = rest.rpartition("/")
    if not _NAME.fullmatch(collection):
        raise UsageError(f"{_safe(place)} names no collection (letters, digits and underscores)", hint=_EXAMPLES)
    if where.endswith(".db"):
        file = "/" + where.lstrip("/") if where.startswith("/") else where
        return Address(file, collection, f"{scheme}:{file}")
    opens, at, server = where.strip("/").rpartition("@")
    found = _SERVER.fullmatch(server)
    if found is None or int(found["port"] or _PORT) > 65535:
        raise UsageError(f"{_safe(place)} names no Milvus server", hint=_EXAMPLES)
    host, port, database = found["host"], int(found["port"] or _PORT), found["database"] or ""
    return Address(
        server=f"http{'s' if scheme + ':' == SECURE else ''}://{host}:{port}",
        collection=collection,
        shown=f"{scheme}://{host}:{port}" + (f"/{database}" if database else ""),
        database=database,
        token=unquote(opens) if at else os.environ.get(TOKEN, ""),
    )


def _safe(place: Path | str) -> str:
    """What was typed, without what opens the server."""
    scheme, _, rest = str(place).partition(":")
    _, at, shown = rest.rpartition("@")
    return f"{scheme}://…@{shown}" if at else str(place)
