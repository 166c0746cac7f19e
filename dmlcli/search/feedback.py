"""Feedback on hits: what is wrong is left out, and the query moves towards what is right (Rocchio's formula).

Source: Rocchio, Relevance feedback in information retrieval, 1971.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmlcli.errors import UsageError
from dmlcli.indexes.gallery import Gallery, ItemTable
from dmlcli.search.query_inputs import QueryInput, indexed
from dmlcli.types import Ids, Vectors

# Weights beside that of the query, 1. Those of right and wrong are usual for text, too (Salton and Buckley, 1990).
RIGHT_WEIGHT, WRONG_WEIGHT = 0.75, 0.15
_MINUS_PHOTO = 0.5


class Move(NamedTuple):
    """What a query moves towards, or away from: its weight is negative."""

    target: QueryInput
    weight: float


class Feedback(NamedTuple):
    """The moves of a query, and the ids of the images to leave out."""

    moves: list[Move]
    without: frozenset[int]


def moved(query: Vectors, targets: Vectors, weights: Sequence[float]) -> Vectors:
    """Return the query plus the weighted targets, of unit length again.

    Args:
        query: (D,) unit vector.
        targets: (N, D) unit vectors.
        weights: (N,), negative to move away.
    """
    sum_of_all = query + np.asarray(weights, dtype=np.float32) @ targets
    return np.asarray(sum_of_all / max(float(np.linalg.norm(sum_of_all)), 1e-12), dtype=np.float32)


def read(
    minus: Sequence[str],
    right: Sequence[str],
    wrong: Sequence[str],
    gallery: Gallery,
    items: ItemTable,
    *,
    files: bool = True,
) -> Feedback:
    """Return what names mean: indexed products, indexed images, and for `minus` photos, too.

    Args:
        minus: each is left out if it is indexed; the query moves away from images and photos, and from a product
            only if the name has a weight: "mug-tall:0.3".
        right: the query moves towards them.
        wrong: each is left out, an image with its product, and the query moves away from it.
        gallery: what is searched.
        items: its item table.
        files: whether a name of `minus` may be a photo on this disk.

    Raises:
        UsageError: a name is none of these, or is both right and wrong.
    """
    if both := sorted({*right} & {*wrong, *minus}):
        raise UsageError(f"{both[0]} is right and wrong", hint="name it once")
    moves, without = [], set[int]()
    unwanted = [_minus(text, gallery, items, files) for text in minus]
    photos = sum(weight is None for _, weight, _ in unwanted)
    for target, weight, ids in unwanted:
        share = -_MINUS_PHOTO / photos if weight is None else -weight
        moves += [Move(target, share)] if share else []
        without.update(ids.tolist())
    kept = set[int]()
    for name in right:
        kept.update(_known(name, items, "--right").tolist())
        moves.append(Move(indexed(name, gallery, items), RIGHT_WEIGHT / len(right)))
    for name in wrong:
        without.update(_left_out(name, items, kept))
        moves.append(Move(indexed(name, gallery, items), -WRONG_WEIGHT / len(wrong)))
    return Feedback(moves, frozenset(without))


def _left_out(name: str, items: ItemTable, kept: set[int]) -> set[int]:
    """Return the images of a wrong product, or of the product of a wrong image; the image alone if others are right."""
    ids = _known(name, items, "--wrong")
    product = set(items.of_product(items.product(int(ids[0]))).tolist())
    return product if product and kept.isdisjoint(product) else set(ids.tolist())


def _minus(text: str, gallery: Gallery, items: ItemTable, files: bool) -> tuple[QueryInput, float | None, Ids]:
    """Return what to move away from, the weight (None: that of photos), and the ids to leave out."""
    name, weight = _weighted(text, items, files)
    images = items.of_product(name)
    if len(images):
        return indexed(name, gallery, items), weight or 0.0, images
    is_file = files and _is_file(name)
    target = QueryInput(name, Path(name)) if is_file else indexed(name, gallery, items)
    return target, weight, items.at_path(name, is_file)


def _weighted(text: str, items: ItemTable, files: bool) -> tuple[str, float | None]:
    """Split `name:weight`; a colon that is part of a known name stays in it."""
    name, colon, number = text.rpartition(":")
    if not colon or len(items.of_product(text)) or len(items.at_path(text, False)) or (files and _is_file(text)):
        return text, None
    try:
        weight = float(number)
    except ValueError:
        return text, None
    if not (math.isfinite(weight) and weight >= 0):
        raise UsageError(f"invalid --minus {text}: the weight must be 0 or more", hint=f"--minus {name}:0.5")
    return name, weight


def _known(name: str, items: ItemTable, option: str) -> Ids:
    """Return the ids of an indexed product or image; raises UsageError for any other name."""
    ids = items.of_product(name)
    ids = ids if len(ids) else items.at_path(name, False)
    if not len(ids):
        items.named(name)  # says what is like it
        raise UsageError(f"{option} {name}: not found in the index")
    return ids


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # too long for a file
        return False
