"""Numbers of photos per product, products with a single photo, and names in two categories."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from dmlcli.catalog import Catalog, Item
from dmlcli.report.doctor import Census, Problem

_EXACT_BARS = 10  # up to so many different counts each gets a bar of its own
_BARS = 8


def problems(catalog: Catalog) -> Iterator[Problem]:
    """Yield products with one photo, and names that stand for products of several categories."""
    images: dict[str, list[Item]] = defaultdict(list)
    for item in catalog.items:
        if item.product:
            images[item.product].append(item)
    for product, items in images.items():
        if len(items) == 1:
            suggestion = "add a second photo to train on the product and score it; search works with one"
            path = str(catalog.root / items[0].path)
            yield Problem(path, "single-photo", "", suggestion, "notice", f"the only photo of {product}")
        first = items[0]
        others = {item.category: item for item in reversed(items) if item.category != first.category}
        if others:
            names = ", ".join(sorted({first.category, *others}))
            suggestion = "use different names for different products; these are treated as one"
            other = str(catalog.root / next(reversed(others.values())).path)
            yield Problem(
                str(catalog.root / first.path), "homonym", other, suggestion, "problem", f"{product} is in {names}"
            )


def census(catalog: Catalog) -> Census:
    """Return the counts of images, products and photos per product."""
    counts = Counter(item.product for item in catalog.items)
    without = counts.pop("", 0)
    return Census(
        images=len(catalog.items),
        products=len(counts),
        categories=len({item.category for item in catalog.items} - {""}),
        without_product=without,
        splits=dict(Counter(item.split for item in catalog.items if item.split)),
        histogram=histogram(list(counts.values())),
    )


def histogram(counts: list[int]) -> tuple[tuple[int, int, int], ...]:
    """Return products by number of images: (fewest, most, products), each number by itself while there are few of them.

    >>> histogram([1, 2, 2, 5])
    ((1, 1, 1), (2, 2, 2), (5, 5, 1))
    """
    number_of = Counter(counts)
    if len(number_of) <= _EXACT_BARS:
        return tuple((count, count, products) for count, products in sorted(number_of.items()))
    low, high = min(counts), max(counts)
    if high > 16 * low:  # a long tail: each bar reaches twice as far as the last
        edges = [low * 2**power for power in range((high // low).bit_length() + 1)]
    else:
        width = -(-(high - low + 1) // _BARS)
        edges = list(range(low, high + width + 1, width))
    bars = []
    for start, end in pairwise(edges):
        products = sum(number for count, number in number_of.items() if start <= count < end)
        if start <= high:
            bars.append((start, min(end - 1, high), products))
    return tuple(bars)
