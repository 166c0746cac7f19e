"""Exact search, a typed item table, and damage that is reported."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli import indexes
from dmlcli.embeddings import Embeddings
from dmlcli.errors import CannotRun, IndexFileError, MismatchError, UsageError
from dmlcli.indexes import auto_kind
from dmlcli.indexes.record import KindCandidate
from dmlcli.indexes.searcher import Searcher
from tests.conftest import make_embeddings

Damage = tuple[str, Callable[[bytes], bytes]]


def sample(count: int = 30, dim: int = 6) -> Embeddings:
    rng = np.random.default_rng(0)
    return make_embeddings(rng.normal(size=(count, dim)), [f"product {row % 7}" for row in range(count)])


def with_columns(*rows: dict[str, str]) -> Embeddings:
    made = sample(len(rows))
    items = [item._replace(columns=tuple(row.items())) for item, row in zip(made.items, rows, strict=True)]
    return replace(made, items=items)


def stored(folder: Path, column: str) -> tuple[str, list[Any]]:
    """The declared type and the values of a column."""
    with closing(sqlite3.connect(folder / "items.sqlite")) as table:
        kinds = {name: kind for _, name, kind, *_ in table.execute("PRAGMA table_info(items)")}
        return kinds[column], [value for (value,) in table.execute(f'SELECT "{column}" FROM items ORDER BY id')]


def test_an_opened_index_is_what_was_built(tmp_path: Path) -> None:
    made = replace(sample(), model="print")
    indexes.build(tmp_path / "i", made, tmp_path / "model")
    index = indexes.open_index(tmp_path / "i")
    assert (index.images, index.record.products, index.dim, index.model) == (30, 7, 6, "print")
    assert (index.root, index.model_folder) == (Path("/shop"), tmp_path / "model")
    kept = {"index.json", "vectors.faiss", "items.sqlite", "checked.json"}
    assert {file.name for file in index.folder.iterdir()} == kept


def test_building_again_replaces_the_index(tmp_path: Path) -> None:
    indexes.build(tmp_path / "i", sample(30), None)
    indexes.build(tmp_path / "i", sample(4), None)
    assert indexes.open_index(tmp_path / "i").images == 4
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_columns_of_ones_own_are_typed(tmp_path: Path) -> None:
    rows = [
        {"stock": "3", "price": "9.5", "name": "Mug 1", "mixed": "3"},
        {"stock": "-12", "price": "7", "name": "12", "mixed": "x"},
    ]
    indexes.build(tmp_path / "i", with_columns(*rows), None)
    assert stored(tmp_path / "i", "stock") == ("INTEGER", [3, -12])
    assert stored(tmp_path / "i", "price") == ("REAL", [9.5, 7.0])
    assert stored(tmp_path / "i", "name") == ("TEXT", ["Mug 1", "12"])
    assert stored(tmp_path / "i", "mixed") == ("TEXT", ["3", "x"])


@pytest.mark.parametrize("value", ["00730", "+4930123", "1_000", "9" * 25])
def test_codes_keep_every_character(tmp_path: Path, value: str) -> None:
    """A bar code with leading zeros is no number."""
    indexes.build(tmp_path / "i", with_columns({"code": value}, {"code": "12"}), None)
    assert str(stored(tmp_path / "i", "code")[1][0]) == value


def test_an_empty_cell_of_a_number_column_compares_as_no_number(tmp_path: Path) -> None:
    """SQLite puts every text above every number, so that `price > 100` would find what has no price."""
    indexes.build(tmp_path / "i", with_columns({"price": "5"}, {"price": ""}, {"price": "150"}), None)
    with closing(sqlite3.connect(tmp_path / "i" / "items.sqlite")) as table:
        assert table.execute("SELECT count(*) FROM items WHERE price > 100").fetchone() == (1,)


@pytest.mark.parametrize("name", ["id", "Path", 'say "hi"', "two words", "größe", "select", "x; DROP TABLE items"])
def test_columns_may_be_called_anything(tmp_path: Path, name: str) -> None:
    made = with_columns({name: "a"}, {name: "b"})
    (hits,) = indexes.build(tmp_path / "i", made, None).search(made.vectors[:1], 1)
    assert hits[0].image.name == "0.png"


def test_columns_may_differ_in_case_only(tmp_path: Path) -> None:
    made = with_columns({"Price": "1", "price": "2"})
    assert indexes.build(tmp_path / "i", made, None).images == 1


def test_columns_may_be_called_like_those_that_were_renamed(tmp_path: Path) -> None:
    assert indexes.build(tmp_path / "i", with_columns({"id": "1", "id_": "2"}), None).images == 1


DAMAGE: dict[str, Damage] = {
    "vectors cut": ("vectors.faiss", lambda data: data[: len(data) // 2]),
    "vectors empty": ("vectors.faiss", lambda data: b""),
    "vectors of text": ("vectors.faiss", lambda data: b"hello" * 99),
    "items cut": ("items.sqlite", lambda data: data[: len(data) // 2]),
    "items empty": ("items.sqlite", lambda data: b""),
    "items of text": ("items.sqlite", lambda data: b"hello" * 999),
    "record cut": ("index.json", lambda data: data[:30]),
    "record a list": ("index.json", lambda data: b"[]"),
    "record null": ("index.json", lambda data: b"null"),
    "record of another length": ("index.json", lambda data: data.replace(b'"images": 30', b'"images": 31')),
    "record of another dimension": ("index.json", lambda data: data.replace(b'"dim": 6', b'"dim": 7')),
    "record without root": ("index.json", lambda data: data.replace(b'"root"', b'"boot"')),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_index_is_reported(tmp_path: Path, kind: str) -> None:
    indexes.build(tmp_path / "i", sample(), None)
    name, damage = DAMAGE[kind]
    file = tmp_path / "i" / name
    before = file.read_bytes()
    file.write_bytes(damage(before))
    assert file.read_bytes() != before
    with pytest.raises(IndexFileError, match="damaged") as caught:
        indexes.open_index(tmp_path / "i")
    assert "dmlcli index" in caught.value.hint


def test_an_item_table_with_damage_inside_is_reported_at_the_latest_by_the_search(tmp_path: Path) -> None:
    made = sample(2000)
    indexes.build(tmp_path / "i", made, None)
    file = tmp_path / "i" / "items.sqlite"
    data = bytearray(file.read_bytes())
    data[3 * 4096 : 4 * 4096] = b"\xff" * 4096
    file.write_bytes(data)
    with pytest.raises(CannotRun, match="damaged"):
        indexes.open_index(tmp_path / "i").search(made.vectors, 2)


@pytest.mark.parametrize("missing", ["index.json", "vectors.faiss", "items.sqlite"])
def test_a_missing_file_is_reported(tmp_path: Path, missing: str) -> None:
    indexes.build(tmp_path / "i", sample(), None)
    (tmp_path / "i" / missing).unlink()
    with pytest.raises(IndexFileError):
        indexes.open_index(tmp_path / "i")


def test_a_crash_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    indexes.build(tmp_path / ".i.previous", sample(), None)
    assert indexes.open_index(tmp_path / "i").images == 30


KINDS = [
    "Flat",
    "SQfp16",
    "SQ8",
    "HNSW16",
    "HNSW16,SQ8",
    "IVF8,Flat",
    "IVF8,PQ4x4",
    "IVF8,PQ4",
    "IVF8,RaBitQ",
    "PCA8,IVF8,Flat",
]


def clustered(count: int = 400, dim: int = 16) -> Embeddings:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(count // 10, dim))
    rows = centers[np.arange(count) % len(centers)] + 0.5 * rng.normal(size=(count, dim))
    return make_embeddings(rows, [f"product {row % len(centers)}" for row in range(count)])


def part(made: Embeddings, *rows: range) -> Embeddings:
    return made.take([row for some in rows for row in some])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*are few for")
def test_each_image_finds_itself_first_in_every_kind(tmp_path: Path, kind: str) -> None:
    made = clustered()
    index = indexes.build(tmp_path / "i", made, None, indexes.IndexRequirements(kind))
    assert [hits[0].image.name for hits in index.search(made.vectors, 1)] == [item.path for item in made.items]
    scores = [hits[0].score for hits in index.search(made.vectors, 3)]
    assert np.allclose(scores, 1, atol=1e-3)
    recall = 1.0 if index.record.measured is None else index.record.measured.recall
    assert recall >= 0.98


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*are few for")
def test_an_update_equals_the_catalog_in_every_kind(tmp_path: Path, kind: str) -> None:
    whole = clustered()
    indexes.build(tmp_path / "i", part(whole, range(300)), None, indexes.IndexRequirements(kind))
    after = part(whole, range(40, 400))
    report = indexes.update(tmp_path / "i", after, None)
    assert (report.added, report.removed, report.index.images) == (100, 40, 360)
    hits = report.index.search(whole.vectors, 10)
    assert all(len(row) == 10 for row in hits)
    assert [row[0].path for row in hits[40:]] == [item.path for item in after.items]
    assert not {hit.path for row in hits for hit in row} & {item.path for item in whole.items[:40]}
    assert report.index.search(whole.vectors[50:51], 1)[0][0].id == 50  # what stays keeps its id
    again = indexes.update(tmp_path / "i", after, None)
    assert (again.added, again.removed) == (0, 0)
    assert again.index.search(whole.vectors, 3) == report.index.search(whole.vectors, 3)


@pytest.mark.parametrize("kind", ["Flat", "HNSW16", "IVF8,Flat", "IVF8,RaBitQ"])
@pytest.mark.parametrize("share", [7, 2])
@pytest.mark.filterwarnings("ignore:.*are few for")
def test_a_search_among_some_finds_the_best_of_them(tmp_path: Path, kind: str, share: int) -> None:
    made = clustered()
    index = indexes.build(tmp_path / "i", made, None, indexes.IndexRequirements(kind))
    among = np.arange(0, len(made.items), share)
    _, found = index.nearest(made.vectors[:50], 5, among=among)
    best = among[np.argsort(-(made.vectors[:50] @ made.vectors[among].T), axis=1)[:, :5]]
    assert not (found % share).any()
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, best, strict=True)]) > 0.97
    few = index.nearest(made.vectors[:50], 5, among=among[:8])[1]
    assert np.array_equal(few, among[np.argsort(-(made.vectors[:50] @ made.vectors[among[:8]].T), axis=1)[:, :5]])
    assert index.nearest(made.vectors[:3], 5, among=np.array([10**6]))[1].shape == (3, 0)


def test_vectors_come_back_by_id(tmp_path: Path) -> None:
    made = clustered()
    for kind in ("Flat", "HNSW16", "SQ8"):
        indexes.build(tmp_path / "i", made, None, indexes.IndexRequirements(kind))
        index = indexes.update(tmp_path / "i", part(made, range(10, 400)), None).index
        assert np.allclose(index.vectors([12, 399, 12]), made.vectors[[12, 399, 12]], atol=1e-3)


def test_rows_that_cannot_be_removed_are_cleared_once_they_are_many(tmp_path: Path) -> None:
    made = clustered()
    indexes.build(tmp_path / "i", made, None, indexes.IndexRequirements("HNSW16"))
    index = indexes.update(tmp_path / "i", part(made, range(50, 400)), None).index
    assert len(index.record.dead) == 50
    index = indexes.update(tmp_path / "i", part(made, range(150, 400)), None, prune=True).index
    assert index.record.dead == [] and index.searcher.index.ntotal == 250
    assert index.search(made.vectors[200:201], 1)[0][0].id == 200


def test_an_update_by_another_model_is_refused(tmp_path: Path) -> None:
    made = clustered(40)
    indexes.build(tmp_path / "i", made, None)
    for other in (replace(made, model="other"), replace(made, views="flip")):
        with pytest.raises(MismatchError, match="another model"):
            indexes.update(tmp_path / "i", other, None)


@pytest.mark.parametrize("factory", ["IVF", "HSNW32", "", "PQ7", "LSH"])
def test_a_bad_factory_string_is_answered_with_good_ones(tmp_path: Path, factory: str) -> None:
    with pytest.raises(UsageError, match=f"'{factory}'") as caught:
        indexes.build(tmp_path / "i", clustered(40), None, indexes.IndexRequirements(factory))
    assert "IVF1024,PQ32" in caught.value.hint and not (tmp_path / "i").exists()


def test_too_few_images_for_the_cells_are_reported(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="few for 64"), pytest.raises(CannotRun, match="40 images are too few"):
        indexes.build(tmp_path / "i", clustered(40), None, indexes.IndexRequirements("IVF64,Flat"))


@pytest.mark.parametrize(
    "requirements",
    [indexes.IndexRequirements(chosen=True), indexes.IndexRequirements("HNSW16"), indexes.IndexRequirements("SQ8")],
)
def test_a_single_image_is_indexed_and_misses_nothing(
    tmp_path: Path, requirements: indexes.IndexRequirements, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_embeddings(np.eye(1, 8), ["a"])
    index = indexes.build(tmp_path / "i", made, None, requirements)
    assert index.record.measured is None or index.record.measured.recall == 1
    assert "below" not in capsys.readouterr().err
    assert [hit.id for hit in index.search(made.vectors, 5)[0]] == [0]


def test_equal_vectors_do_not_spoil_the_measured_recall(tmp_path: Path) -> None:
    made = make_embeddings(np.tile(np.eye(1, 8), (60, 1)), ["a"] * 60)
    measured = indexes.build(tmp_path / "i", made, None, indexes.IndexRequirements("SQ8")).record.measured
    assert measured is not None and measured.recall == 1


def test_a_sample_keeps_the_neighbors_of_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each product has ten images here: of 40 rows out of 400 drawn alone, hardly two would be of one product."""
    monkeypatch.setattr(auto_kind, "_TRIAL", 40)
    monkeypatch.setattr(auto_kind, "_QUERIES", 5)
    whole = auto_kind.draw(clustered().vectors, np.arange(400))
    thin = auto_kind.thin(whole)
    assert 45 <= len(thin.ids) <= 95
    assert np.array_equal(thin.vectors[thin.asking], whole.vectors[whole.asking])
    assert np.array_equal(thin.vectors[thin.others], whole.vectors[whole.others])
    found = auto_kind.make("Flat", thin.vectors, thin.ids)
    assert thin.measure(Searcher(found.index)).recall == 1


def test_building_counts_as_much_as_the_first_queries() -> None:
    graph = KindCandidate("HNSW32", 0.99, microseconds=500, memory=10**9, seconds=700)
    cells = KindCandidate("IVF4096,Flat", 0.99, microseconds=900, memory=10**9, seconds=60)
    lossy = KindCandidate("SQ8", 0.9, microseconds=100, memory=10**8, seconds=1, refused="recall 0.900")
    assert auto_kind.cost(cells) < auto_kind.cost(graph) < 760
    assert auto_kind.why(cells, [cells, graph, lossy]) == (
        "of 2 kinds that keep the wish, the one built and asked 100,000 times the soonest; HNSW32 would answer in "
        "500 µs instead of 900, but takes 12 min to build instead of 60 s; left out: SQ8 (recall 0.900)"
    )
    assert "would answer" not in auto_kind.why(cells, [cells, lossy])
