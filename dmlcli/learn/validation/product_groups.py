"""Which products are held out together: all that share a source, such as a shelf or a session of one photographer.

If sources connect nearly all products, as cameras do, nothing could be held out, and sources are ignored.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from dmlcli.catalog import Item


class _Group(NamedTuple):
    """Products that are held out together."""

    products: list[str]
    searchable: int  # of them, that have two images or more


def folds(items: Sequence[Item], rows: Sequence[int], number: int, least: int, seed: int) -> list[set[str]]:
    """Divide the products with two images or more into folds of about equal size, in random order.

    A product with one image is in no fold, unless it shares a source with such a product.

    Args:
        items: the images.
        rows: of the images to fit on.
        number: of folds.
        least: products with two images or more that each fold must have.
        seed: of the order.
    """
    made = _divide(_groups(items, rows, by_source=True), number, seed)
    if min(fold.searchable for fold in made) < least:
        made = _divide(_groups(items, rows, by_source=False), number, seed)
    return [set(fold.products) for fold in made]


def half(items: Sequence[Item], rows: Sequence[int], least: int, seed: int) -> set[str]:
    """Draw half of the products with two images or more, at random, and those that share a source with them.

    Args:
        items: the images.
        rows: of the images to draw from.
        least: products with two images or more that must be drawn, if there are twice as many.
        seed: of the draw.
    """
    single = _groups(items, rows, by_source=False)
    number = len(single) // 2
    drawn = _draw(_groups(items, rows, by_source=True), number, seed)
    if drawn.searchable < min(number, least):
        drawn = _draw(single, number, seed)
    return set(drawn.products)


def _divide(groups: list[_Group], number: int, seed: int) -> list[_Group]:
    """Put each group, the largest first, into the fold that has the fewest products."""
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda group: -group.searchable)
    made = [_Group([], 0)] * number
    for group in groups:
        place = min(range(number), key=lambda fold: made[fold].searchable)
        made[place] = _joined(made[place], group)
    return made


def _draw(groups: list[_Group], number: int, seed: int) -> _Group:
    """Join groups in random order, as long as no more than `number` products are searchable."""
    drawn = _Group([], 0)
    for group in random.Random(seed).sample(groups, len(groups)):
        if drawn.searchable + group.searchable <= number:
            drawn = _joined(drawn, group)
    return drawn


def _joined(one: _Group, other: _Group) -> _Group:
    return _Group(one.products + other.products, one.searchable + other.searchable)


def _groups(items: Sequence[Item], rows: Sequence[int], *, by_source: bool) -> list[_Group]:
    """Return groups of products, sorted, without those in which every product has a single image.

    Two products are in one group if images of both come from the same source; else each product is a group.
    """
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    first_of: dict[str, str] = {}
    for row in rows:
        product, source = find(items[row].product), items[row].source
        if by_source and source:
            leader[find(first_of.setdefault(source, items[row].product))] = product
    members = defaultdict(list)
    for product in sorted(leader):
        members[find(product)].append(product)
    counts = Counter(items[row].product for row in rows)
    groups = [_Group(names, sum(counts[name] > 1 for name in names)) for names in members.values()]
    return [group for group in groups if group.searchable]
