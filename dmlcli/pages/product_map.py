"""What the final model makes of a catalog: a map of the products, and the pairs that are confused with each other."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from dmlcli.catalog import Catalog, Item
from dmlcli.embeddings import Embeddings, Vectors
from dmlcli.errors import ImageError
from dmlcli.pages.thumbnails import Thumbnail, data_uri

WIDTH, HEIGHT, SIDE = 900, 650, 44  # of the map and of an image on it, in the units of its positions
_EDGE = 20
_MOST_PRODUCTS = 160  # on the map: more images would hide each other
_MOST_PAIRS, _MOST_IMAGES, _PIXELS = 8, 4000, 160
_BLOCK = 512  # rows of one matrix product


class MapPoint(NamedTuple):
    """A product on the map, shown by its most typical photo."""

    name: str
    photos: int
    source: str  # a data URI
    x: int
    y: int


class ProductMap(NamedTuple):
    """The largest products, the nearer the more alike."""

    points: list[MapPoint]
    products: int  # how many are on the map
    left_out: int


class ConfusedPair(NamedTuple):
    """Two products, with an example: a photo and the one that is nearest to it."""

    images: tuple[Thumbnail, Thumbnail]
    times: int


def product_map(photos: Catalog, embeddings: Embeddings) -> ProductMap:
    """Return the products in the plane in which they differ most: two principal components of their mean embeddings."""
    largest = sorted(Counter(embeddings.products).items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_PRODUCTS]
    names = [name for name, _ in largest if name]
    rows = [[row for row, product in enumerate(embeddings.products) if product == name] for name in names]
    means = np.stack([np.asarray(embeddings.vectors[own]).mean(0) for own in rows])
    points = []
    for name, own, mean, (x, y) in zip(names, rows, means, _plane(means), strict=True):
        typical = own[int(np.argmax(np.asarray(embeddings.vectors[own]) @ mean))]
        source = _data_uri(photos, embeddings.items[typical], 2 * SIDE)
        if source:
            left, top = (_EDGE + (side - 2 * _EDGE - SIDE) * place for side, place in ((WIDTH, x), (HEIGHT, y)))
            points.append(MapPoint(name, len(own), source, round(left), round(top)))
    return ProductMap(points, len(names), len(set(embeddings.products) - {""}) - len(names))


def confused_pairs(photos: Catalog, embeddings: Embeddings) -> list[ConfusedPair]:
    """Return the pairs of products whose photos have one of the other product nearest, the most frequent first."""
    step = max(1, len(embeddings.items) // _MOST_IMAGES)
    rows = [row for row in range(0, len(embeddings.items), step) if embeddings.products[row]]
    found: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], tuple[int, int]] = {}
    for place, other in enumerate(_nearest(np.asarray(embeddings.vectors[rows]))):
        row, hit = rows[place], rows[other]
        query_product, hit_product = embeddings.products[row], embeddings.products[hit]
        if query_product != hit_product:
            pair = (min(query_product, hit_product), max(query_product, hit_product))
            found[pair] += 1
            example.setdefault(pair, (row, hit))
    pairs = []
    for pair, times in found.most_common(_MOST_PAIRS):
        row, hit = example[pair]
        images = (_thumbnail(photos, embeddings.items[row]), _thumbnail(photos, embeddings.items[hit]))
        pairs.append(ConfusedPair(images, times))
    return pairs


def _plane(means: Vectors) -> Vectors:
    """Return positions in [0, 1] of the rows on their first two principal components.

    Args:
        means: (C, D).

    Returns:
        (C, 2); zero on a component that does not exist or along which all are equal.
    """
    centered = means - means.mean(0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    flat = centered @ axes[:2].T
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    spread = np.ptp(flat, axis=0)
    positions: Vectors = (flat - flat.min(0)) / np.where(spread > 0, spread, 1)
    return positions


def _nearest(vectors: Vectors) -> list[int]:
    """Return the nearest other row of each row."""
    found: list[int] = []
    for start in range(0, len(vectors), _BLOCK):
        scores = vectors[start : start + _BLOCK] @ vectors.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        found += scores.argmax(1).tolist()
    return found


def _thumbnail(photos: Catalog, item: Item) -> Thumbnail:
    return Thumbnail(item.product, _data_uri(photos, item, _PIXELS))


def _data_uri(photos: Catalog, item: Item, pixels: int) -> str | None:
    try:
        return data_uri(photos.photo(item).read_bytes(), pixels)
    except ImageError:
        return None
