"""Which products are held out together: all that share a source, such as a shelf or a session of one photographer.

If sources connect nearly all products, as cameras do, nothing could be held out, and sources are ignored.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from dmlcli.catalog import Item

_Group = list[str]  # of products


def folds(items: Sequence[Item], rows: Sequence[int], number: int, least: int, seed: int) -> list[set[str]]:
    """Divide the products with two images or more into folds of about equal size, in random order.

    Args:
        items: the images.
        rows: of the images to fit on.
        number: of folds.
        least: products that each fold must have.
        seed: of the order.
    """
    made = _divide(_groups(items, rows, by_source=True), number, seed)
    if all(len(fold) >= least for fold in made):
        return made
    return _divide(_groups(items, rows, by_source=False), number, seed)


def half(items: Sequence[Item], rows: Sequence[int], least: int, seed: int) -> set[str]:
    """Draw half of the products with two images or more, at random.

    Args:
        items: the images.
        rows: of the images to draw from.
        least: products that must be drawn, if there are twice as many.
        seed: of the draw.
    """
    single = _groups(items, rows, by_source=False)
    number = len(single) // 2
    drawn = _draw(_groups(items, rows, by_source=True), number, seed)
    return drawn if len(drawn) >= min(number, least) else _draw(single, number, seed)


def _divide(groups: list[_Group], number: int, seed: int) -> list[set[str]]:
    random.Random(seed).shuffle(groups)
    made: list[set[str]] = [set() for _ in range(number)]
    for group in groups:
        min(made, key=len).update(group)
    return made


def _draw(groups: list[_Group], number: int, seed: int) -> set[str]:
    drawn: set[str] = set()
    for group in random.Random(seed).sample(groups, len(groups)):
        if len(drawn) + len(group) <= number:
            drawn.update(group)
    return drawn


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
    groups = defaultdict(list)
    for product in sorted(leader):
        groups[find(product)].append(product)
    counts = Counter(items[row].product for row in rows)
    return [group for group in groups.values() if any(counts[product] > 1 for product in group)]
