"""What is unchanged is not computed again, what is written is read back, and damage is reported and not guessed at."""

import json
import os
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from dmlcli import embeddings
from dmlcli.catalog import Catalog, Item, open_catalog
from dmlcli.embeddings import Computed, Embeddings, Vectors, compute, open_embeddings
from dmlcli.errors import EmbeddingsError
from dmlcli.image import ImageSettings, Pixels, view
from tests.conftest import encoded, make_embeddings, photo

SMALL = ImageSettings(resize=8, crop=8)


def forward(batch: Pixels) -> Vectors:
    flat = batch.reshape(len(batch), -1)
    unit: Vectors = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return unit


def embed(catalog: Path, *known: Embeddings, model: str = "m", batch_size: int = 4) -> Computed:
    return compute(
        open_catalog(catalog), lambda data: view(data, SMALL), forward, model, known=known, batch_size=batch_size
    )


def test_every_image_gets_its_own_row(shop: Path) -> None:
    made = embed(shop)
    assert (made.fresh, made.embeddings.dim, made.skipped) == (12, 192, [])
    for item, vector in zip(made.embeddings.items, made.embeddings.vectors, strict=True):
        assert np.allclose(vector, forward(view((shop / item.path).read_bytes(), SMALL)[None])[0])


def test_batches_make_no_difference(shop: Path) -> None:
    assert np.array_equal(embed(shop, batch_size=1).embeddings.vectors, embed(shop, batch_size=64).embeddings.vectors)


def test_a_second_time_nothing_is_computed(shop: Path) -> None:
    first = embed(shop).embeddings
    again = embed(shop, first)
    assert again.fresh == 0
    assert np.array_equal(again.embeddings.vectors, first.vectors)


def test_what_changed_is_computed_and_what_was_touched_is_not(shop: Path) -> None:
    first = embed(shop).embeddings
    changed, touched = shop / "product-01" / "1.png", shop / "product-02" / "0.png"
    changed.write_bytes(encoded(photo(99)))
    os.utime(touched, (1, 1))
    again = embed(shop, first)
    assert again.fresh == 1
    row = [item.path for item in first.items].index("product-01/1.png")
    moved = np.abs(again.embeddings.vectors - first.vectors).max(axis=1) > 1e-3
    assert np.flatnonzero(moved).tolist() == [row]


def test_what_was_renamed_is_not_computed_again(shop: Path) -> None:
    first = embed(shop).embeddings
    (shop / "product-00").rename(shop / "better-name")
    again = embed(shop, first)
    assert again.fresh == 0 and "better-name" in again.embeddings.products


def test_rows_of_another_model_are_not_used(shop: Path) -> None:
    assert embed(shop, embed(shop).embeddings, model="other").fresh == 12


def test_one_bad_image_stops_nothing(shop: Path) -> None:
    (shop / "product-01" / "1.png").write_bytes(encoded(photo(1))[:90])
    catalog = open_catalog(shop)
    (shop / "product-02" / "2.png").unlink()
    made = compute(catalog, lambda data: view(data, SMALL), forward, "m")
    assert (made.fresh, len(made.embeddings.items)) == (10, 10)
    assert [Path(skipped.path).relative_to(shop).as_posix() for skipped in made.skipped] == [
        "product-01/1.png",
        "product-02/2.png",
    ]
    assert made.skipped[1].reason.startswith("file not found in the folder ")


def test_a_fifo_in_a_table_is_never_opened(shop: Path) -> None:
    """Opening one would wait for somebody to write into it."""
    os.mkfifo(shop / "pipe.png")
    catalog = Catalog(shop, [Item("pipe.png", "a"), Item("product-00/0.png", "b")])
    made: list[Computed] = []
    worker = threading.Thread(
        target=lambda: made.append(compute(catalog, lambda data: view(data, SMALL), forward, "m")), daemon=True
    )
    worker.start()
    worker.join(3)
    waited = worker.is_alive()
    if waited:
        os.close(os.open(shop / "pipe.png", os.O_RDWR | os.O_NONBLOCK))
        os.close(os.open(shop / "pipe.png", os.O_WRONLY | os.O_NONBLOCK))
        worker.join(5)
    assert not waited
    assert [Path(skipped.path).name for skipped in made[0].skipped] == ["pipe.png"]


def test_what_was_done_is_kept_when_it_is_cut_short(shop: Path) -> None:
    kept: list[Embeddings] = []
    calls = 0

    def tired(batch: Pixels) -> Vectors:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return forward(batch)

    catalog = open_catalog(shop)
    with pytest.raises(KeyboardInterrupt):
        compute(catalog, lambda data: view(data, SMALL), tired, "m", batch_size=4, keep=kept.append)
    (saved,) = kept
    assert len(saved.items) == 8
    assert compute(catalog, lambda data: view(data, SMALL), forward, "m", known=kept).fresh == 4


def test_a_folder_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    items = [
        Item("a/1.png", "mug", "cups", "train", "s1", (("price", "9,50"), ("note", 'say "hi"\nthere'))),
        Item(os.fsdecode(b"caf\xe9\n.png"), "größe", "", "", "", (("price", ""), ("note", "x"))),
    ]
    vectors = make_embeddings(np.eye(2, 5), ["x", "y"]).vectors
    states = [embeddings.FileState(12, 10**18 + 1, "ab"), embeddings.FileState(0, -5, "cd")]
    embeddings.save(tmp_path / "e", Embeddings(Path("/shop"), items, states, vectors, "print"))
    back = open_embeddings(tmp_path / "e")
    assert (back.root, back.items, back.states, back.model) == (Path("/shop"), items, states, "print")
    assert np.array_equal(back.vectors, vectors) and isinstance(back.vectors, np.memmap)


def test_an_npz_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made = make_embeddings(np.random.default_rng(0).normal(size=(4, 3)), ["a", "a", "b", "größe"])
    embeddings.save_npz(tmp_path / "e.npz", made)
    back = open_embeddings(tmp_path / "e.npz")
    assert back.products == made.products
    assert [item.path for item in back.items] == [str(made.root / item.path) for item in made.items]
    assert np.allclose(back.vectors, made.vectors, atol=1e-6)


def test_an_npz_of_another_tool_is_normalized_and_may_lack_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", embeddings=np.array([[3.0, 4.0], [0.0, 2.0]]))
    back = open_embeddings(tmp_path / "e.npz")
    assert np.allclose(back.vectors, np.array([[0.6, 0.8], [0, 1]])) and back.products == ["", ""]
    np.savez(tmp_path / "e.npz", embeddings=np.eye(2), labels=np.array([7, 12]))
    assert open_embeddings(tmp_path / "e.npz").products == ["7", "12"]


def test_only_the_rows_of_a_split(tmp_path: Path) -> None:
    made = make_embeddings(np.eye(2), ["a", "b"])
    made.items[0] = made.items[0]._replace(split="train")
    assert made.only("train").products == ["a"] and made.only(None) is made
    with pytest.raises(EmbeddingsError, match="split 'test'"):
        made.only("test")


def damaged_npz() -> dict[str, bytes]:
    import io

    stream = io.BytesIO()
    np.savez(stream, embeddings=np.eye(20), labels=np.arange(20))
    whole = stream.getvalue()
    bare = io.BytesIO()
    np.save(bare, np.eye(3))
    return {"empty": b"", "text": b"hello", "truncated": whole[:600], "bare array": bare.getvalue()}


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "bare array"])
def test_a_damaged_npz_is_reported(tmp_path: Path, kind: str) -> None:
    (tmp_path / "e.npz").write_bytes(damaged_npz()[kind])
    with pytest.raises(EmbeddingsError, match="cannot read embeddings from"):
        open_embeddings(tmp_path / "e.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"matrix": np.eye(2)},
        {"features": np.eye(2), "vectors": np.eye(2)},
        {"embeddings": np.eye(2), "labels": np.arange(3)},
        {"embeddings": np.arange(4)},
        {"embeddings": np.array([[1.0, np.nan]])},
        {"embeddings": np.array([[{}]])},
    ],
    ids=["no embeddings", "two of them", "other length", "one dimension", "nan", "objects"],
)
def test_an_npz_that_makes_no_sense_is_reported(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(
        EmbeddingsError, match=r"contains no embeddings|may be the|cannot read embeddings from|holds Python objects"
    ):
        open_embeddings(tmp_path / "e.npz")


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "vectors cut": ("vectors.npy", lambda data: data[: len(data) // 2]),
    "vectors empty": ("vectors.npy", lambda data: b""),
    "vectors of text": ("vectors.npy", lambda data: b"hello" * 9),
    "items cut": ("items.csv", lambda data: data[: len(data) // 2]),
    "items empty": ("items.csv", lambda data: b""),
    "items short": ("items.csv", lambda data: data.replace(b",9,", b"")),
    "record cut": ("embeddings.json", lambda data: data[:20]),
    "record a list": ("embeddings.json", lambda data: b"[]"),
    "record of another length": ("embeddings.json", lambda data: data.replace(b'"images": 3', b'"images": 4')),
    "record without model": ("embeddings.json", lambda data: data.replace(b'"model"', b'"modem"')),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_embeddings_are_reported(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "e"
    made = make_embeddings(np.eye(3), ["a", "b", "c"])
    made.states[:] = [embeddings.FileState(9, 9, "d")] * 3
    embeddings.save(folder, made)
    name, damage = DAMAGE[kind]
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(damage(before))
    assert (folder / name).read_bytes() != before
    with pytest.raises(EmbeddingsError, match="damaged"):
        open_embeddings(folder)


def test_no_embeddings_is_another_thing_than_damaged_ones(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingsError, match="no embeddings found") as caught:
        open_embeddings(tmp_path / "nowhere")
    assert "dmlcli embed" in caught.value.hint


def test_a_crash_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    embeddings.save(tmp_path / ".e.previous", make_embeddings(np.eye(2), ["a", "b"]))
    assert open_embeddings(tmp_path / "e").products == ["a", "b"]


def test_the_record_says_what_there_is(tmp_path: Path) -> None:
    embeddings.save(tmp_path / "e", make_embeddings(np.eye(2, 6), ["a", "b"], model="m"))
    record = json.loads((tmp_path / "e" / "embeddings.json").read_text())
    assert record.pop("root")["absolute"] == "/shop"
    assert record == {"schema": 1, "model": "m", "views": "", "images": 2, "dim": 6, "dtype": "float32"}
    assert {file.name for file in (tmp_path / "e").iterdir()} == {"vectors.npy", "items.csv", "embeddings.json"}


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".jsonl"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_files_of_any_format_are_read_back(tmp_path: Path, suffix: str, dtype: Literal["float32", "float16"]) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    made = make_embeddings(np.random.default_rng(0).normal(size=(5, 8)), list("aabbc"))
    file = tmp_path / f"e{suffix}"
    embeddings.save_file(file, made, dtype)
    assert embeddings.is_embeddings(file) and [path.name for path in tmp_path.iterdir()] == [file.name]
    back = open_embeddings(file)
    assert np.allclose(back.vectors, made.vectors, atol=1e-6 if dtype == "float32" else 2e-3)
    assert np.allclose(np.linalg.norm(back.vectors, axis=1), 1, atol=1e-6)
    if suffix != ".npy":
        assert back.products == made.products and back.items[0].path == "/shop/0.png"


def test_a_folder_of_float16_takes_half_and_is_read_as_unit_float32(tmp_path: Path) -> None:
    made = make_embeddings(np.random.default_rng(0).normal(size=(500, 16)), ["a"] * 500)
    embeddings.save(tmp_path / "e", made, "float16")
    embeddings.save(tmp_path / "f", made)
    sizes = [(tmp_path / name / "vectors.npy").stat().st_size for name in "ef"]
    assert sizes[0] < 0.52 * sizes[1]
    back = open_embeddings(tmp_path / "e").vectors
    assert back.dtype == np.float32 and np.allclose(back, made.vectors, atol=1e-3)
    assert np.allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)


def test_clip_retrievals_folder_is_written_and_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    made = make_embeddings(np.random.default_rng(0).normal(size=(5, 8)), list("aabbc"))
    embeddings.save_clip_retrieval(tmp_path / "clip", made)
    assert (tmp_path / "clip/img_emb/img_emb_0.npy").is_file()
    assert (tmp_path / "clip/metadata/metadata_0.parquet").is_file()
    assert embeddings.is_embeddings(tmp_path / "clip")
    back = open_embeddings(tmp_path / "clip")
    assert back.products == made.products and back.items[4].path == "/shop/4.png"
    assert np.allclose(back.vectors, made.vectors, atol=2e-3)


def test_parts_of_clip_retrieval_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "img_emb").mkdir()
    for number in (0, 2, 10):
        np.save(tmp_path / "img_emb" / f"img_emb_{number}.npy", np.eye(11, dtype=np.float16)[number : number + 1])
    assert open_embeddings(tmp_path).vectors.argmax(axis=1).tolist() == [0, 2, 10]


def test_a_part_of_clip_retrieval_with_another_number_of_rows_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    embeddings.save_clip_retrieval(tmp_path / "clip", make_embeddings(np.eye(4), list("abcd")))
    np.save(tmp_path / "clip/img_emb/img_emb_0.npy", np.eye(3))
    with pytest.raises(EmbeddingsError, match=r"img_emb_0.npy and metadata_0.parquet have different numbers of rows"):
        open_embeddings(tmp_path / "clip")


def test_what_was_kept_now_and_then_is_taken_up(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("dmlcli.embeddings.compute"), "KEEP_EVERY", 0.0)
    target, calls = tmp_path / "e", 0

    def killed(batch: Pixels) -> Vectors:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise SystemExit
        return forward(batch)

    catalog, decode = open_catalog(shop), lambda data: view(data, SMALL)
    whole = compute(catalog, decode, forward, "m", batch_size=2).embeddings
    keep = partial(embeddings.save_shard, target)
    with pytest.raises(SystemExit):
        compute(catalog, decode, killed, "m", batch_size=2, keep=keep)
    shards = list(embeddings.open_shards(target))
    assert [len(shard.items) for shard in shards] == [2, 2, 2]
    again = compute(catalog, decode, forward, "m", known=shards)
    assert again.fresh == 6 and np.array_equal(again.embeddings.vectors, whole.vectors)
    embeddings.save(target, again.embeddings)
    assert not list(embeddings.open_shards(target)) and {path.name for path in tmp_path.iterdir()} == {"shop", "e"}


def test_other_views_are_computed_again(shop: Path) -> None:
    first = embed(shop).embeddings
    catalog = open_catalog(shop)
    again = compute(catalog, lambda data: view(data, SMALL), forward, "m", views="flip", known=[first])
    assert again.fresh == 12 and again.embeddings.views == "flip"


@pytest.mark.parametrize("name", ["e", "e.npz", "e.npy", "e.parquet", "e.jsonl", "clip"])
def test_embeddings_of_nothing_replace_nothing(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    made = make_embeddings(np.eye(2), ["a", "b"])
    write = (
        embeddings.save_clip_retrieval if name == "clip" else embeddings.save_file if "." in name else embeddings.save
    )
    write(target, made)
    with pytest.raises(EmbeddingsError, match="no image could be embedded"):
        write(target, Embeddings(Path("/shop"), [], [], np.zeros((0, 2), np.float32), ""))
    assert len(open_embeddings(target).items) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("embeddings", "paths", "labels"),
        ("features", "filenames", "targets"),
        ("vectors", "files", "y"),
        ("X", "names", "label"),
    ],
)
def test_arrays_may_have_the_usual_names(tmp_path: Path, names: tuple[str, str, str]) -> None:
    arrays = (np.eye(3, 4), np.array(["a.png", "b.png", "c.png"]), np.array([4, 4, 7]))
    named: dict[str, Any] = dict(zip(names, arrays, strict=True))
    np.savez(tmp_path / "e.npz", **named)
    found = open_embeddings(tmp_path / "e.npz")
    assert np.array_equal(found.vectors, np.eye(3, 4))
    assert [item.path for item in found.items] == ["a.png", "b.png", "c.png"] and found.products == ["4", "4", "7"]


def test_an_npz_without_embeddings_says_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", weights=np.eye(2), bias=np.ones(2))
    with pytest.raises(EmbeddingsError, match="its arrays are weights, bias") as caught:
        open_embeddings(tmp_path / "e.npz")
    assert "embeddings=" in caught.value.hint


def test_a_line_without_an_embedding_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"embedding": [1, 0]}\n\n{"path": "a"}\n')
    with pytest.raises(EmbeddingsError, match="line 3 of"):
        open_embeddings(tmp_path / "e.jsonl")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
def test_foreign_rows_come_to_unit_length_in_every_type(tmp_path: Path, dtype: str) -> None:
    rows = np.random.default_rng(0).normal(0, 50, size=(3000, 200)).astype(dtype)
    rows[7] = 0
    np.save(tmp_path / "e.npy", rows)
    with pytest.warns(UserWarning, match="1 embeddings"):
        found = open_embeddings(tmp_path / "e.npy").vectors
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    expected = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    assert found.dtype == np.float32 and np.allclose(found, expected, atol=1e-7)


def test_reading_takes_little_more_memory_than_the_matrix(tmp_path: Path) -> None:
    import tracemalloc

    np.savez(tmp_path / "e.npz", embeddings=np.ones((20_000, 128), np.float32))  # 10 MB
    tracemalloc.start()
    found = open_embeddings(tmp_path / "e.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * found.vectors.nbytes  # 12 MB of it are names and states


def test_embeddings_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    made = make_embeddings(np.eye(2), ["a", "b"])
    embeddings.save(tmp_path / "e", made)
    table = tmp_path / "e" / "items.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("".join(",".join(row[:9]) + "\n" for row in rows))
    assert [item.path for item in open_embeddings(tmp_path / "e").items] == [item.path for item in made.items]
    assert [state.inode for state in open_embeddings(tmp_path / "e").states] == [0, 0]


@pytest.mark.parametrize("name", ["embeddings.json", "vectors.npy", "items.csv"])
def test_a_pipe_in_place_of_a_file_is_reported(tmp_path: Path, name: str) -> None:
    embeddings.save(tmp_path / "e", make_embeddings(np.eye(2), ["a", "b"]))
    (tmp_path / "e" / name).unlink()
    os.mkfifo(tmp_path / "e" / name)
    with pytest.raises(EmbeddingsError, match="not a regular file"):
        open_embeddings(tmp_path / "e")


def test_removed_images_are_kept_until_everything_is_rebuilt(tmp_path: Path) -> None:
    made = make_embeddings(np.eye(4), list("abcd"), model="m")
    folder = tmp_path / "e"
    embeddings.save(folder, made)
    for rows, earlier, kept in (
        ([0, 1, 2], True, ["3.png"]),
        ([0, 1], True, ["2.png", "3.png"]),
        ([0, 1, 3], True, ["2.png"]),
        ([0, 1], False, ["3.png"]),
        ([0, 1], False, []),
    ):
        new = made.take(rows)
        embeddings.retire(folder, new, earlier=earlier)
        embeddings.save(folder, new)
        aside = embeddings.gone_folder(folder)
        assert (sorted(item.path for item in open_embeddings(aside).items) if aside.exists() else []) == kept
