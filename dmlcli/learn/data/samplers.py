"""Which images meet in a batch. An epoch shows every image at least once, and every batch is full."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from dmlcli.learn.data import class_balance

SAMPLERS = ("random", "balanced", "pk", "category-pk", "n-pair")


def batches(
    kind: str,
    labels: Sequence[int],
    size: int,
    seed: int,
    *,
    per_label: int = 4,
    categories: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
) -> Iterator[list[int]]:
    """Yield the rows of each batch of one epoch.

    Args:
        kind: `random` shuffles; `balanced` does so and repeats the images of products, and of sources of a product,
            that have few; `pk` puts P labels with K = `per_label` images each into a batch, their sources mixed;
            `category-pk` does so within one category at a time, where look-alikes live; `n-pair` is K = 2.
        labels: (N,) the label of each row.
        size: images in a batch; fewer where there are not as many.
        seed: of the draw.
        per_label: K of `pk` and `category-pk`.
        categories: (N,) of each row, for `category-pk`.
        sources: (N,) of each row, for `balanced` and `pk`.
    """
    rng, sources = random.Random(seed), sources or [""] * len(labels)
    if kind == "random":
        yield from _shuffled(len(labels), min(size, len(labels)), rng)
    elif kind == "balanced":
        yield from _balanced(class_balance.repeats(labels, sources), size, rng)
    elif kind == "category-pk":
        yield from _by_category(labels, categories or [""] * len(labels), sources, size, per_label, rng)
    else:
        each = 2 if kind == "n-pair" else per_label
        yield from _by_label(range(len(labels)), labels, sources, size, each, rng)


def too_small(labels: Sequence[int], per_label: int) -> int:
    """Return how many labels have fewer than K images: they bring what they have."""
    return sum(count < per_label for count in Counter(labels).values())


def _shuffled(count: int, size: int, rng: random.Random) -> Iterator[list[int]]:
    order = rng.sample(range(count), count)
    for start in range(0, count, size):
        rows = order[start : start + size]
        yield rows + order[: size - len(rows)]  # the last batch is filled up from the first


def _balanced(repeats: Sequence[float], size: int, rng: random.Random) -> Iterator[list[int]]:
    """Yield each row as often as `repeats` says, about evenly over the epoch; a fraction is a chance of one more."""
    times = [int(count) + (rng.random() < count % 1) for count in repeats]
    shown = [((copy + rng.random()) / count, row) for row, count in enumerate(times) for copy in range(count)]
    order = [row for _, row in sorted(shown)]
    for start in range(0, len(order), size):
        batch = (order + order[:size])[start : start + size]  # the last one is filled up from the first
        yield list(dict.fromkeys(batch))  # a row that comes twice in a batch is shown once


def _by_category(
    labels: Sequence[int],
    categories: Sequence[str],
    sources: Sequence[str],
    size: int,
    per_label: int,
    rng: random.Random,
) -> Iterator[list[int]]:
    """P x K inside each category; the batches of all categories come in random order.

    Categories of a single label, which would give batches without a negative, are taken together.
    """
    inside = defaultdict(set)
    for label, category in zip(labels, categories, strict=True):
        inside[category].add(label)
    members = defaultdict(list)
    for row, category in enumerate(categories):
        members[category if len(inside[category]) > 1 else None].append(row)
    whole = [batch for rows in members.values() for batch in _by_label(rows, labels, sources, size, per_label, rng)]
    yield from rng.sample(whole, len(whole))


def _by_label(
    among: Iterable[int],
    labels: Sequence[int],
    sources: Sequence[str],
    size: int,
    per_label: int,
    rng: random.Random,
) -> Iterator[list[int]]:
    """Yield no label twice in a batch; a label with fewer than K images brings what it has."""
    rows = defaultdict(list)
    for row in among:
        rows[labels[row]].append(row)
    places = min(max(2, size // per_label), len(rows))  # P
    chunks = {label: _chunks(members, sources, per_label, rng) for label, members in rows.items()}
    while chunks:
        chosen = sorted(chunks, key=lambda label: (-len(chunks[label]), rng.random()))[:places]
        batch = [row for label in chosen for row in chunks[label].pop()]
        rest = sorted(set(rows) - set(chosen))
        for label in rng.sample(rest, places - len(chosen)):  # labels that are through join again
            batch += _chunks(rows[label], sources, per_label, rng)[0]
        chunks = {label: left for label, left in chunks.items() if left}
        yield batch


def _chunks(members: list[int], sources: Sequence[str], size: int, rng: random.Random) -> list[list[int]]:
    """Shuffle and cut into pieces of `size`; a single left over joins the others it would need as company."""
    order = _mixed(rng.sample(members, len(members)), sources)
    pieces = [order[start : start + size] for start in range(0, len(order), size)]
    if len(pieces) > 1 and len(pieces[-1]) < size:
        pieces[-1] += order[: size - len(pieces[-1])]
    return pieces


def _mixed(rows: list[int], sources: Sequence[str]) -> list[int]:
    """Return the rows with those of each source spread evenly among the others."""
    of_source, before, places = Counter(sources[row] for row in rows), Counter[str](), {}
    for row in rows:
        places[row] = (before[sources[row]] + 0.5) / of_source[sources[row]]
        before[sources[row]] += 1
    return sorted(rows, key=places.__getitem__)
