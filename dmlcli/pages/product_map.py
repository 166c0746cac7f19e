"""What the final model makes of a catalog: a map of the products, and the pairs that are confused with each other."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from dmlcli.catalog import Catalog, Item
from dmlcli.embeddings import Embeddings, Vectors
from dmlcli.errors import ImageError
from dmlcli.pages.thumbnails import Thumbnail, thumbnail

SIDE, LETTER = 64, 10  # of a photo on the map, and the size of its name, in the units of its positions
_CELL_WIDTH, _CELL_HEIGHT = 94, 88  # of a photo with its name
_LETTERS = 14  # of a name that are shown
_ASPECT = 1.5  # of the map
_CELLS = 2  # places for each product, so that groups stay apart
_MOST_PRODUCTS = 160  # on the map: more photos would be too small
_MOST_PAIRS, _MOST_IMAGES, _PIXELS = 8, 4000, 160
_BLOCK = 512  # rows of one matrix product


class MapPoint(NamedTuple):
    """A product on the map, shown by its most typical photo."""

    name: str
    short_name: str
    photos: int
    source: str  # a data URI
    x: int
    y: int


class ProductMap(NamedTuple):
    """The largest products, the nearer the more alike."""

    points: list[MapPoint]
    products: int  # how many are on the map
    left_out: int
    width: int
    height: int


class ConfusedPair(NamedTuple):
    """Two products, with an example: a photo and the one that is nearest to it."""

    images: tuple[Thumbnail, Thumbnail]
    times: int


def product_map(photos: Catalog, embeddings: Embeddings) -> ProductMap:
    """Return the products in the plane in which they differ most: two principal components of their mean embeddings.

    Each product has a cell of a grid of its own, near its position, so that no photo covers another one.
    """
    largest = sorted(Counter(embeddings.products).items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_PRODUCTS]
    names = [name for name, _ in largest if name]
    rows = [[row for row, product in enumerate(embeddings.products) if product == name] for name in names]
    means = np.stack([np.asarray(embeddings.vectors[own]).mean(0) for own in rows])
    columns = max(1, round((_CELLS * len(names) * _ASPECT * _CELL_HEIGHT / _CELL_WIDTH) ** 0.5))
    lines = max(1, -(-_CELLS * len(names) // columns))
    points = []
    for name, own, mean, (x, y) in zip(names, rows, means, _cells(_plane(means), columns, lines), strict=True):
        typical = own[int(np.argmax(np.asarray(embeddings.vectors[own]) @ mean))]
        source = _thumbnail(photos, embeddings.items[typical], 2 * SIDE).source
        if source:
            short = name if len(name) <= _LETTERS else f"{name[: _LETTERS // 2]}…{name[-(_LETTERS // 2) + 1 :]}"
            left, top = x * _CELL_WIDTH + (_CELL_WIDTH - SIDE) // 2, y * _CELL_HEIGHT + LETTER // 2
            points.append(MapPoint(name, short, len(own), source, left, top))
    left_out = len(set(embeddings.products) - {""}) - len(names)
    return ProductMap(points, len(names), left_out, columns * _CELL_WIDTH, lines * _CELL_HEIGHT)


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
        images = (
            _thumbnail(photos, embeddings.items[row], _PIXELS),
            _thumbnail(photos, embeddings.items[hit], _PIXELS),
        )
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


def _cells(positions: Vectors, columns: int, lines: int) -> list[tuple[int, int]]:
    """Return a cell (column, line) of a grid for each position in [0, 1]: the nearest one that is free.

    Positions that have most others near them choose first, so that groups keep their shape.
    """
    where = positions * (columns - 1, lines - 1)  # (C, 2)
    distance = np.square(where[:, None] - where[None]).sum(axis=2)  # (C, C)
    order = np.argsort(np.partition(distance, min(5, len(where) - 1), axis=1)[:, min(5, len(where) - 1)], kind="stable")
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(lines)), axis=-1).reshape(-1, 2)  # (cells, 2)
    free = np.ones(len(grid), dtype=bool)
    chosen: dict[int, tuple[int, int]] = {}
    for row in order.tolist():
        cell = int(np.where(free, np.square(grid - where[row]).sum(axis=1), np.inf).argmin())
        free[cell] = False
        chosen[row] = (int(grid[cell, 0]), int(grid[cell, 1]))
    return [chosen[row] for row in range(len(where))]


def _nearest(vectors: Vectors) -> list[int]:
    """Return the nearest other row of each row."""
    found: list[int] = []
    for start in range(0, len(vectors), _BLOCK):
        scores = vectors[start : start + _BLOCK] @ vectors.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        found += scores.argmax(1).tolist()
    return found


def _thumbnail(photos: Catalog, item: Item, pixels: int) -> Thumbnail:
    try:
        return thumbnail(item.product, photos.photo(item).read_bytes(), pixels)
    except ImageError:
        return Thumbnail(item.product)
