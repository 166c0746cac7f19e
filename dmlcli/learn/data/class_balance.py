"""What a catalog is like, many photos of a product or few, all alike or of several sources, and what follows from it.

These are defaults: the weight of each photo, and how batches are drawn where the recipe leaves
that open. No torch in here.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import median

from dmlcli.catalog import Item

_PER_LABEL = 4  # images of a product in a batch, where most products have as many
_UNBALANCED = 2.0  # times as often as usual that the rarest images are to be shown, to be worth longer epochs


def weights(labels: Sequence[Hashable], sources: Sequence[str]) -> list[float]:
    """Return how much each image counts: a product as the root of its number of images, its sources all alike.

    So neither the products that were photographed most decide what all look like, nor does the one studio picture of a
    product drown in its snapshots: what sets studio and snapshot apart is what varies within a product.

    Args:
        labels, sources: (N,) of each image.
    """
    images, of_source = Counter(labels), Counter(zip(labels, sources, strict=True))
    sources_of = Counter(label for label, _ in of_source)
    return [
        math.sqrt(images[label]) / sources_of[label] / of_source[label, source]
        for label, source in zip(labels, sources, strict=True)
    ]


def repeats(labels: Sequence[Hashable], sources: Sequence[str]) -> list[float]:
    """Return how often an epoch of balanced batches shows each image (N,), 1 or more.

    Source: Gupta et al., LVIS, CVPR 2019 (repeat factor sampling), with the median product as their threshold.
    """
    counts = weights(labels, sources)
    usual = median(counts)
    return [max(1.0, count / usual) for count in counts]


def sampler(needed: str, labels: Sequence[Hashable], sources: Sequence[str]) -> str:
    """Return the sampler: the one that the loss needs; `balanced` where it needs none and the catalog is uneven.

    Args:
        needed: the sampler of the loss.
        labels: (N,) of the images.
        sources: (N,) of the images.
    """
    return "balanced" if needed == "random" and max(repeats(labels, sources)) >= _UNBALANCED else needed


def images_per_product(labels: Sequence[Hashable]) -> int:
    """Return how many images of a product meet in a batch."""
    return max(2, min(_PER_LABEL, int(median(Counter(labels).values()))))


def describe(items: Sequence[Item], per_product: int | None) -> list[str]:
    """Return what is unusual about the images that training may fit on, and what follows, each in a line.

    Args:
        items: the images.
        per_product: images of a product in a batch, where the recipe says how many.
    """
    known = [item for item in items if item.product]
    if not known:
        return []  # a backbone that is left as it is needs no products
    counts = Counter(item.product for item in known)
    products, sources = [item.product for item in known], [item.source for item in known]
    crossed = Counter(product for product, _ in {*zip(products, sources, strict=True)})
    notes = []
    if max(counts.values()) == 1:
        notes.append("one image of each product: only views of it can be learned from")
    elif images_per_product(products) < _PER_LABEL and per_product is None:
        notes.append(f"few images of most products: batches that pair them take {images_per_product(products)} of each")
    if median(counts.values()) > _UNBALANCED**2 * min(counts.values()):
        notes.append(
            f"{min(counts.values())} to {max(counts.values())} images of a product: "
            "products count as the root of their images"
        )
    if both := sum(number > 1 for number in crossed.values()):
        notes.append(
            f"{both} of {len(counts)} products have photos of several sources: these count alike, and validation "
            "searches from one to the others"
        )
    return notes
