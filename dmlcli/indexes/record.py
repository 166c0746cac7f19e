"""What an index says of itself: index.json, read strictly and written as one record."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dmlcli import storage
from dmlcli.storage import records

SCHEMA = 1
RECORD = "index.json"
EXACT = "Flat"  # the kind of an exact index
_SHARE = records.number(0, 1)
_MEASURED = {
    "recall": _SHARE,
    "error": _SHARE,
    "itself": _SHARE,
    "microseconds": records.number(0),
}
_TRIED = {
    "kind": records.TEXT,
    "recall": _SHARE,
    "microseconds": records.number(0),
    "memory": records.whole(),
    "seconds": records.number(0),
    "refused": records.TEXT,
}
_FIELDS = {
    "kind": records.TEXT,
    "why": records.TEXT,
    "images": records.whole(1),
    "products": records.whole(),
    "dim": records.whole(1, 1 << 20),
    "root": records.REFERENCE,
    "model": records.TEXT,
    "model_folder": records.optional(records.REFERENCE),
    "views": records.one_of("", "flip", "crops", "object"),
    "memory": records.whole(),
    "measured": records.optional(records.record_of(_MEASURED)),
    "target": _SHARE,
    "settings": records.mapping_of(records.whole(0, 1 << 31)),
    "tried": records.list_of(records.record_of(_TRIED)),
    "rows": records.FLAG,
    "dead": records.list_of(records.whole()),
    "next_id": records.whole(),
    "sums": records.mapping_of(records.TEXT),
}
_EARLIER = ("sums",)  # entries that indexes of earlier versions lack


@dataclass(frozen=True)
class SearchCost:
    """How well and how fast a search does."""

    recall: float  # of the ten nearest
    error: float  # standard error of it
    itself: float  # share of images that find themselves
    microseconds: float  # a query, alone, on one thread


@dataclass(frozen=True)
class KindCandidate:
    """What a candidate needs for all rows, as scaled from the sample, and why it was left out, if it was."""

    kind: str
    recall: float
    microseconds: float
    memory: int  # bytes
    seconds: float  # to build, on all cores
    refused: str = ""


@dataclass(frozen=True)
class IndexRecord:
    """The content of index.json, one field for each key."""

    kind: str  # a FAISS factory string
    why: str  # it was chosen
    images: int
    products: int
    dim: int
    root: Path  # of the catalog
    model: str  # fingerprint, "" for embeddings of another tool
    model_folder: Path | None
    views: str  # what was averaged for each image, "" for one plain view
    memory: int  # bytes that searching needs
    measured: SearchCost | None  # None where it is exact
    target: float  # recall that it is to keep
    settings: dict[str, int]  # for searching
    tried: list[KindCandidate]
    rows: bool  # whether exact rows lie beside the vectors
    dead: list[int]  # ids that the kind cannot remove
    next_id: int
    sums: dict[str, str]  # checksum of each other file; none in indexes of earlier versions


def read(folder: Path) -> IndexRecord:
    """Return the record of the index in a folder; raises what `records.read` raises."""
    values = {"sums": {}} | records.read(folder / RECORD, SCHEMA, _FIELDS, may_lack=_EARLIER)
    measured, made_by = values["measured"], values["model_folder"]
    return IndexRecord(
        **values
        | {
            "root": storage.dereference(values["root"], folder),
            "model_folder": None if made_by is None else storage.dereference(made_by, folder),
            "measured": None if measured is None else SearchCost(**measured),
            "tried": [KindCandidate(**one) for one in values["tried"]],
        }
    )


def write(draft: Path, record: IndexRecord, folder: Path) -> None:
    """Write the record of an index.

    Args:
        draft: where the file goes.
        record: what it says.
        folder: where the index will lie, which paths are named from.
    """
    made_by = None if record.model_folder is None else storage.reference(record.model_folder, folder)
    paths: dict[str, Any] = {"root": storage.reference(record.root, folder), "model_folder": made_by}
    storage.write_json(draft / RECORD, {"schema": SCHEMA} | asdict(record) | paths)
