"""An index folder is opened strictly: its record, its tables and its files are what was written."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli import indexes
from dmlcli.errors import CannotRun, IndexFileError
from dmlcli.storage import checksums
from tests.conftest import make_embeddings

COUNT, DIM = 200, 8


def build(folder: Path, kind: str = "Flat") -> indexes.Index:
    rows = np.random.default_rng(0).normal(size=(COUNT, DIM))
    made = make_embeddings(rows, [f"p{row // 3}" for row in range(COUNT)])
    return indexes.build(folder, made, None, indexes.IndexRequirements(kind))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((folder / "index.json").read_text())
    change(record)
    (folder / "index.json").write_text(json.dumps(record))


def reseal(folder: Path) -> None:
    """Bring the checksums in line with the files, as somebody who means harm would."""
    edit(folder, lambda record: record.update(sums=checksums.sums(folder, record["sums"])))


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": "8"},
        {"images": -1},
        {"images": None},
        {"kind": 5},
        {"root": "/shop"},
        {"root": {"absolute": 1, "relative": ""}},
        {"model_folder": "m"},
        {"views": "all"},
        {"settings": {"nprobe": -1}},
        {"settings": []},
        {"dead": ["x"]},
        {"dead": None},
        {"measured": {"recall": 1}},
        {"target": 7},
        {"rows": "no"},
        {"sums": {"vectors.faiss": "1-0"}},
        {"sums": {"../../x": "1-0", "items.sqlite": "1-0"}},
        {"more": 1},
    ],
)
def test_an_edited_record_is_reported(tmp_path: Path, changes: dict[str, Any]) -> None:
    build(tmp_path / "i")
    edit(tmp_path / "i", lambda record: record.update(changes))
    with pytest.raises(IndexFileError, match="damaged"):
        indexes.open_index(tmp_path / "i")


def test_an_index_of_an_earlier_version_is_opened(tmp_path: Path) -> None:
    build(tmp_path / "i")
    edit(tmp_path / "i", lambda record: record.pop("sums"))
    assert indexes.open_index(tmp_path / "i").images == COUNT


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "IVF4,SQ8"])
def test_a_flipped_bit_anywhere_is_reported(tmp_path: Path, kind: str) -> None:
    folder = build(tmp_path / "i", kind).folder
    for name in json.loads((folder / "index.json").read_text())["sums"]:
        data = (folder / name).read_bytes()
        for place in np.random.default_rng(1).integers(0, len(data), 10).tolist():
            damaged = bytearray(data)
            damaged[place] ^= 16
            (folder / name).write_bytes(damaged)
            with pytest.raises(IndexFileError, match=f"{name} does not hold what was written"):
                indexes.open_index(folder)
        (folder / name).write_bytes(data)
    assert indexes.open_index(folder).images == COUNT


@pytest.mark.parametrize("name", ["index.json", "vectors.faiss", "items.sqlite"])
def test_a_pipe_in_place_of_a_file_is_reported(tmp_path: Path, name: str) -> None:
    folder = build(tmp_path / "i").folder
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(IndexFileError, match="not a regular file"):
        indexes.open_index(folder)


def test_a_pipe_in_place_of_the_calibration_is_no_calibration(tmp_path: Path) -> None:
    index = build(tmp_path / "i")
    os.mkfifo(index.folder / "calibration.json")
    assert index.kept() is None


RECURSIVE = """
CREATE VIEW items AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)
SELECT id, '' AS path, '' AS product, '' AS category FROM n
"""


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE items", RECURSIVE],
        ["ALTER TABLE items RENAME COLUMN product TO sku"],
        ["ALTER TABLE items ADD COLUMN x AS (length(hex(zeroblob(100000000))))"],
        ["CREATE TABLE more (id)"],
        ["DROP TABLE items"],
    ],
)
def test_other_tables_than_those_of_an_index_are_refused(tmp_path: Path, statements: list[str]) -> None:
    folder = build(tmp_path / "i").folder
    with closing(sqlite3.connect(folder / "items.sqlite")) as table:
        for statement in statements:
            table.execute(statement)
        table.commit()
    reseal(folder)
    with pytest.raises(IndexFileError, match=r"items\.sqlite"):
        indexes.open_index(folder)


def test_a_product_that_is_null_is_reported(tmp_path: Path) -> None:
    index = build(tmp_path / "i")
    with closing(sqlite3.connect(index.folder / "items.sqlite")) as table:
        table.execute("UPDATE items SET product = NULL")
        table.commit()
    reseal(index.folder)
    opened = indexes.open_index(index.folder)
    with pytest.raises(IndexFileError, match="damaged"):
        opened.search(np.eye(1, DIM, dtype=np.float32), 3)


def test_scores_that_are_not_finite_are_not_passed_on(tmp_path: Path) -> None:
    index = build(tmp_path / "i")
    folder = index.folder
    data = bytearray((folder / "vectors.faiss").read_bytes())
    place = data.index(index.vectors([0]).tobytes())
    data[place : place + 4] = np.float32(np.nan).tobytes()
    (folder / "vectors.faiss").write_bytes(data)
    reseal(folder)
    with pytest.raises(IndexFileError, match="not finite"):
        indexes.open_index(folder).search(np.ones((1, DIM), np.float32) / DIM**0.5, COUNT)


def test_a_query_that_is_not_finite_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="vector of the query"):
        build(tmp_path / "i").search(np.full((1, DIM), np.nan, np.float32), 3)


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "SQ8"])
def test_vectors_of_what_was_removed_are_refused(tmp_path: Path, kind: str) -> None:
    rows = np.random.default_rng(0).normal(size=(COUNT, DIM))
    made = make_embeddings(rows, [f"p{row // 3}" for row in range(COUNT)])
    indexes.build(tmp_path / "i", made, None, indexes.IndexRequirements(kind))
    left = [row for row in range(COUNT) if row != 5]
    index = indexes.update(tmp_path / "i", made.take(left), None).index
    assert index.ids().tolist() == left or 5 in index.searcher.dead
    assert np.allclose(index.vectors([4, 6, 199]), made.vectors[[4, 6, 199]], atol=0.02)
    for missing in (5, -1, COUNT, 10**9):
        with pytest.raises(KeyError, match=str(missing)):
            index.vectors([4, missing])
