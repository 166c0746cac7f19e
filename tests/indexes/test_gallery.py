"""What is searched in behaves alike wherever it lies: an index folder and a Milvus collection pass the same tests."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dmlcli import indexes
from dmlcli.catalog import Item
from dmlcli.embeddings import Embeddings, FileState
from dmlcli.errors import IndexFileError, MismatchError, UsageError
from dmlcli.indexes.gallery import Gallery, ItemTable
from dmlcli.indexes.milvus import address, push
from dmlcli.search.item_lookup import Items
from tests.conftest import make_embeddings


class Opened(NamedTuple):
    """Both halves of a gallery."""

    gallery: Gallery
    items: ItemTable


Make = Callable[..., Opened]  # embeddings, name, model folder, whether to update what is there


@pytest.fixture(scope="module", params=["folder", "collection"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes a gallery of embeddings: in a folder, or in a collection of a file that nobody else has."""
    place = tmp_path_factory.mktemp("galleries")
    servers = []

    def folder(made: Embeddings, name: str, model: Path | None = None, *, update: bool = False) -> Opened:
        write = indexes.update if update else indexes.build
        write(place / name, made, model)
        index = indexes.open_index(place / name)
        return Opened(index, Items(index))

    def collection(made: Embeddings, name: str, model: Path | None = None, *, update: bool = False) -> Opened:
        server, there = push.connect(address.parse(f"milvus:{place}/f.db/{name}"), update)
        servers.append(server)
        found = push.push(server, there, made, model, update=update).collection
        return Opened(found, found)

    yield folder if request.param == "folder" else collection
    for server in servers:
        server.close()


def goods() -> Embeddings:
    """Thirty images of seven products, some with a price, a category or a box."""
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = []
    for row in range(30):
        price = (("price", str(row / 2)),) if row % 3 else ()
        box = (0.0, 1.5, float(row), 40.0) if row % 5 == 4 else None
        category = "mug" if row % 2 else ""
        columns = (("name", f"no. {row}"), *price)
        items.append(Item(f"{row}.png", f"product {row % 7}", category, columns=columns, box=box))
    states = [FileState(1, 1, str(row)) for row in range(30)]
    return Embeddings(Path("/shop"), items, states, vectors, "0123456789abcdef")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def shop(make: Make, model: Path) -> Opened:
    """A gallery that no test changes."""
    return make(goods(), "shop", model)


def queries(count: int = 5) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return make_embeddings(np.random.default_rng(1).normal(size=(count, 6)), ["?"] * count).vectors


def test_it_says_what_it_is(shop: Opened, model: Path) -> None:
    gallery = shop.gallery
    assert (gallery.images, gallery.dim, gallery.model) == (30, 6, "0123456789abcdef")
    assert (gallery.root, gallery.model_folder) == (Path("/shop"), model)
    assert gallery.place.endswith("shop") and "flat" in gallery.kind.lower() and gallery.most >= 30


def test_hits_are_those_of_a_plain_sort(shop: Opened) -> None:
    made = goods()
    for vector, hits in zip(queries(), shop.gallery.search(queries(), 4), strict=True):
        scores = made.vectors @ vector
        order = np.argsort(-scores)[:4]
        assert [hit.id for hit in hits] == order.tolist()
        assert [hit.image for hit in hits] == [Path("/shop") / f"{row}.png" for row in order]
        assert [hit.product for hit in hits] == [f"product {row % 7}" for row in order]
        assert np.allclose([hit.score for hit in hits], scores[order], atol=1e-6)


def test_an_image_of_it_comes_first_with_score_one(shop: Opened) -> None:
    for row, hits in enumerate(shop.gallery.search(goods().vectors, 1)):
        assert (hits[0].id, round(hits[0].score, 6)) == (row, 1.0) and hits[0].score <= 1.0


def test_more_hits_than_images_are_all_images(shop: Opened) -> None:
    (hits,) = shop.gallery.search(queries(1), 100)
    assert sorted(hit.id for hit in hits) == list(range(30))


def test_a_query_of_another_length_is_a_usage_error(shop: Opened) -> None:
    with pytest.raises(UsageError, match="5 dimensions"):
        shop.gallery.search(np.eye(1, 5, dtype=np.float32), 1)


def test_a_filter_leaves_what_may_be_found(shop: Opened) -> None:
    some = shop.items.where("price > 3 and category = 'mug'")
    expected = [row for row in range(30) if row % 3 and row / 2 > 3 and row % 2]
    assert len(some) == len(expected)
    (hits,) = shop.gallery.search(queries(1), 100, among=some)
    assert sorted(hit.id for hit in hits) == expected
    (none,) = shop.gallery.search(queries(1), 100, among=shop.items.where("price > 1000"))
    assert none == []


def test_a_filter_with_a_mistake_is_a_usage_error(shop: Opened) -> None:
    for text in ("prize > 3", "price >", "price > 3; drop table items"):
        with pytest.raises(UsageError):
            shop.items.where(text)


def test_vectors_come_back_by_id(shop: Opened) -> None:
    assert np.allclose(shop.gallery.vectors([12, 29, 12]), goods().vectors[[12, 29, 12]], atol=1e-6)
    with pytest.raises(KeyError):
        shop.gallery.vectors([3, 30])


def test_a_row_has_its_category_and_the_columns_of_the_user(shop: Opened) -> None:
    (seven, six) = shop.items.details([7, 6])
    assert seven[:2] == ("mug", {"name": "no. 7", "price": 3.5})
    assert six[:2] == ("", {"name": "no. 6", "price": None})
    with pytest.raises(KeyError):
        shop.items.details([7, 30])


def test_a_box_is_the_part_of_a_file_that_an_image_is(shop: Opened) -> None:
    assert [details.box for details in shop.items.details([9, 10])] == [(0.0, 1.5, 9.0, 40.0), None]


def test_the_images_of_a_product_are_found_by_its_name(shop: Opened) -> None:
    assert shop.items.of_product("product 3").tolist() == [3, 10, 17, 24]
    assert shop.items.of_product("product 3", shop.items.where("category = 'mug'")).tolist() == [3, 17]
    assert shop.items.of_product("product 9").tolist() == []


def test_a_product_or_a_path_can_be_named(shop: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ids, shown = shop.items.named("product 2")
    assert ids.tolist() == [2, 9, 16, 23] and shown.path == Path("/shop/2.png")
    for path in ("9.png", "/shop/9.png"):
        ids, shown = shop.items.named(path)
        assert (ids.tolist(), shown.path, shown.box) == ([9], Path("/shop/9.png"), (0.0, 1.5, 9.0, 40.0))
    with pytest.raises(UsageError, match="'produkt 2'") as caught:
        shop.items.named("produkt 2")
    assert "product 2" in caught.value.hint


def test_products_are_listed_by_id(shop: Opened) -> None:
    ids, names = shop.items.products()
    assert ids.tolist() == list(range(30)) and names == [f"product {row % 7}" for row in range(30)]
    assert shop.items.usual_images() == 4


def test_a_note_is_kept_until_the_gallery_changes_its_stamp(make: Make) -> None:
    opened = make(goods(), "noted")
    assert opened.gallery.kept() is None
    opened.gallery.keep({"of": "x", "calibration": {"threshold": 0.5}})
    assert opened.gallery.kept() == {"of": "x", "calibration": {"threshold": 0.5}}
    again = make(goods().take(range(29)), "noted", update=True)
    assert again.gallery.stamp != opened.gallery.stamp


def test_names_of_any_bytes_come_back(make: Make) -> None:
    odd = [os.fsdecode(b"caf\xe9.png"), "two\nlines.png", 'größe "😀".png', "back\\slash.png", "it's.png"]
    made = make_embeddings(np.eye(5), odd, odd)
    opened = make(made, "odd")
    for number, name in enumerate(odd):
        assert opened.items.of_product(name).tolist() == [number] and opened.items.named(name)[1].path.name == name
        (hits,) = opened.gallery.search(made.vectors[[number]], 1)
        assert (hits[0].product, hits[0].path) == (name, name)
    assert opened.items.products()[1] == odd


def test_an_id_is_never_used_twice(make: Make) -> None:
    """Remove the last row, close, add another: the id of the removed one stays its own."""
    made = goods()
    make(made.take(range(20)), "ids")
    make(made.take(range(19)), "ids", update=True)
    opened = make(made.take([*range(19), 25]), "ids", update=True)
    (hits,) = opened.gallery.search(made.vectors[25:26], 1)
    assert (hits[0].id, hits[0].path, opened.gallery.images) == (20, "25.png", 20)


def test_an_update_changes_names_and_columns_without_new_ids(make: Make) -> None:
    made = goods()
    make(made, "renamed")
    items = [item._replace(product="other", columns=(("name", "new"), ("price", "1.5"))) for item in made.items]
    opened = make(replace(made, items=items), "renamed", update=True)
    (hits,) = opened.gallery.search(made.vectors[7:8], 1)
    assert (hits[0].id, hits[0].product) == (7, "other") and opened.items.details([7])[0].columns["name"] == "new"


def test_an_update_by_another_model_is_refused(make: Make) -> None:
    make(goods(), "models")
    with pytest.raises(MismatchError, match="another model"):
        make(replace(goods(), model="other"), "models", update=True)


def test_nothing_to_search_in_is_reported(make: Make) -> None:
    with pytest.raises(IndexFileError, match="nothing to"):
        make(Embeddings(Path(), [], [], np.zeros((0, 4), np.float32), ""), "nothing")
