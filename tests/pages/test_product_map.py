"""The map of the products and the pairs that are confused, from embeddings with known neighbors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmlcli.catalog import Catalog, open_catalog
from dmlcli.embeddings import Embeddings
from dmlcli.pages import product_map
from tests.conftest import make_embeddings, make_shop


@pytest.fixture
def photos(tmp_path: Path) -> Catalog:
    return open_catalog(make_shop(tmp_path / "shop"))  # four products with three photos each


def embedded(photos: Catalog, vectors: np.ndarray) -> Embeddings:
    return replace(make_embeddings(vectors, [item.product for item in photos.items]), items=photos.items)


def test_similar_products_are_near_each_other(photos: Catalog) -> None:
    angles = np.repeat([0.0, 0.1, 1.5, 1.6], 3)
    found = product_map.product_map(photos, embedded(photos, np.stack([np.cos(angles), np.sin(angles)], axis=1)))
    assert (found.products, found.left_out) == (4, 0) and [point.photos for point in found.points] == [3] * 4
    places = np.array([(point.x, point.y) for point in found.points])
    first, second, third, fourth = places[:, 0]  # on the direction in which they differ most
    assert abs(first - second) < abs(second - third) > abs(third - fourth)
    assert (places >= 0).all() and (places + product_map.SIDE <= (found.width, found.height)).all()


@pytest.mark.parametrize("count", [1, 2, 40, 160])
def test_no_photo_or_name_covers_another(count: int) -> None:
    """Also where all products are alike, or all but one."""
    positions = np.zeros((count, 2), dtype=np.float32)
    positions[0] = 1
    columns = lines = round((2 * count) ** 0.5) + 1
    cells = product_map._cells(positions, columns, lines)
    assert len(set(cells)) == count and all(0 <= x < columns and 0 <= y < lines for x, y in cells)


def test_a_long_name_is_cut_in_the_middle(photos: Catalog) -> None:
    made = make_embeddings(np.eye(12), ["bag-satchel-long-flap-brown"] * 12)
    items = [item._replace(product="bag-satchel-long-flap-brown") for item in photos.items]
    (point,) = product_map.product_map(photos, replace(made, items=items)).points
    assert point.name == "bag-satchel-long-flap-brown" and point.short_name == "bag-sat…-brown"


def test_the_smallest_products_are_left_out(photos: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_map, "_MOST_PRODUCTS", 3)
    found = product_map.product_map(photos, embedded(photos, np.eye(12)))
    assert (found.products, found.left_out, len(found.points)) == (3, 1, 3)


def test_pairs_are_counted_in_both_directions_the_most_frequent_first(photos: Catalog) -> None:
    vectors = np.repeat(np.eye(5)[:4], 3, axis=0)
    vectors[[0, 3]] = np.eye(5)[4]  # a photo of product 0 and one of product 1: each is the nearest of the other
    vectors[9] = vectors[6]  # a photo of product 3 that is like those of product 2
    found = product_map.confused_pairs(photos, embedded(photos, vectors))
    assert [([image.name for image in pair.images], pair.times) for pair in found] == [
        (["product-00", "product-01"], 2),
        (["product-03", "product-02"], 1),
    ]
    assert all(image.source for pair in found for image in pair.images)


def test_a_photo_that_is_gone_leaves_its_pair(photos: Catalog) -> None:
    vectors = np.repeat(np.eye(4), 3, axis=0)
    vectors[3] = vectors[0]
    (photos.root / photos.items[3].path).unlink()
    (pair,) = product_map.confused_pairs(photos, embedded(photos, vectors))
    assert [image.source is None for image in pair.images] == [True, False]
