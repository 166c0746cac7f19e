"""What is unchanged is not computed again, what is written is read back, and damage is told and not guessed at."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    assert made.skipped[1].reason == "there is no such file"


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


def test_an_npz_of_another_tool_is_normalised_and_may_lack_labels(tmp_path: Path) -> None:
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
def test_a_damaged_npz_is_told(tmp_path: Path, kind: str) -> None:
    (tmp_path / "e.npz").write_bytes(damaged_npz()[kind])
    with pytest.raises(EmbeddingsError, match="damaged"):
        open_embeddings(tmp_path / "e.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"vectors": np.eye(2)},
        {"embeddings": np.eye(2), "labels": np.arange(3)},
        {"embeddings": np.arange(4)},
        {"embeddings": np.array([[1.0, np.nan]])},
        {"embeddings": np.array([[{}]])},
    ],
    ids=["no embeddings", "other length", "one dimension", "nan", "objects"],
)
def test_an_npz_that_makes_no_sense_is_told(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(EmbeddingsError, match="damaged"):
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
def test_damaged_embeddings_are_told(tmp_path: Path, kind: str) -> None:
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
    with pytest.raises(EmbeddingsError, match="there are no embeddings") as caught:
        open_embeddings(tmp_path / "nowhere")
    assert "dmlcli embed" in caught.value.hint


def test_a_crash_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    embeddings.save(tmp_path / ".e.previous", make_embeddings(np.eye(2), ["a", "b"]))
    assert open_embeddings(tmp_path / "e").products == ["a", "b"]


def test_the_record_says_what_there_is(tmp_path: Path) -> None:
    embeddings.save(tmp_path / "e", make_embeddings(np.eye(2, 6), ["a", "b"], model="m"))
    record = json.loads((tmp_path / "e" / "embeddings.json").read_text())
    assert record.pop("root")["absolute"] == "/shop"
    assert record == {"schema": 1, "model": "m", "images": 2, "dim": 6}
    assert {file.name for file in (tmp_path / "e").iterdir()} == {"vectors.npy", "items.csv", "embeddings.json"}
