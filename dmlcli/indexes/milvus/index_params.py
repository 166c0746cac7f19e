"""The kinds of index of a collection: those of Milvus whose scores are cosines of the vectors as they were pushed."""

from typing import Any

from dmlcli.errors import UsageError, nearest
from dmlcli.indexes.auto_kind import AUTO_FROM

EXACT, GRAPH, CHOSEN = "FLAT", "HNSW", "AUTOINDEX"
_BROAD = 128  # candidates that a search of a graph keeps in sight, at least


def fitting(count: int) -> str:
    """The kind for so many images: exact where that is quick, else what Milvus itself chooses."""
    return EXACT if count < AUTO_FROM else CHOSEN


def check(kind: str) -> str:
    """The kind as Milvus spells it; raises UsageError for one that is not known here."""
    known = [EXACT, GRAPH, CHOSEN]
    if kind.upper() not in known:
        raise UsageError(f"invalid --factory {kind} for a collection", hint=nearest(kind.upper(), known))
    return kind.upper()


def to_build(kind: str) -> dict[str, Any]:
    """Settings for building."""
    return {"M": 32, "efConstruction": 200} if kind == GRAPH else {}


def to_search(kind: str, k: int) -> dict[str, Any]:
    """Settings for finding k."""
    return {"ef": max(_BROAD, 2 * k)} if kind == GRAPH else {}
