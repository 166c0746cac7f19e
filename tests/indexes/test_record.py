"""index.json: one typed record, read strictly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmlcli.indexes import record
from dmlcli.indexes.record import IndexRecord, KindCandidate, SearchCost

RECORD = IndexRecord(
    kind="HNSW32",
    why="requested",
    images=30,
    products=7,
    dim=6,
    root=Path("/shop"),
    model="0123456789abcdef",
    model_folder=Path("/models/a"),
    views="flip",
    memory=4096,
    measured=SearchCost(0.99, 0.01, 1.0, 80.5),
    target=0.98,
    settings={"efSearch": 64},
    tried=[KindCandidate("HNSW32", 0.99, 80.5, 4096, 1.5), KindCandidate("SQ8", 0.9, 20.0, 1024, 0.1, "recall 0.900")],
    rows=False,
    dead=[3, 5],
    next_id=32,
    sums={"vectors.faiss": "12 0badcafe"},
)


@pytest.mark.parametrize("written", [RECORD, replace(RECORD, measured=None, tried=[], model_folder=None, sums={})])
def test_a_record_is_read_as_it_was_written(written: IndexRecord, tmp_path: Path) -> None:
    record.write(tmp_path, written, tmp_path)
    assert record.read(tmp_path) == written


def test_a_record_without_checksums_is_of_an_earlier_version(tmp_path: Path) -> None:
    assert edited(tmp_path, lambda values: values.pop("sums")) == replace(RECORD, sums={})


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("kind", 3),
        ("images", 0),
        ("root", "/shop"),
        ("views", "mirror"),
        ("measured", {"recall": 0.99}),
        ("target", 1.5),
        ("tried", [{"kind": "SQ8"}]),
        ("dead", [-1]),
        ("more", 1),
    ],
)
def test_an_entry_that_is_wrong_is_named(entry: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"entry '{entry}'"):
        edited(tmp_path, lambda values: values.update({entry: value}))


def edited(folder: Path, edit: Any) -> IndexRecord:
    """The record as it is read after an edit of its file."""
    record.write(folder, RECORD, folder)
    values = json.loads((folder / record.RECORD).read_text())
    edit(values)
    (folder / record.RECORD).write_text(json.dumps(values))
    return record.read(folder)
