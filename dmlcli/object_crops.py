"""Which part of each photo of a catalog is embedded with `--crop auto`: the object, where other things are around it.

Each photo has a candidate: the box of `search.crop_boxes`. The box is taken where it resembles the other photos of its
product more than the whole photo does. So nothing but the products decides, and clean photos stay as they are.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlcli import prefetch, progress, storage
from dmlcli.errors import EmbeddingsError, ImageError, UsageError
from dmlcli.types import Box, Vectors

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog, Item
    from dmlcli.embeddings import Embeddings
    from dmlcli.encoder import Encoder
    from dmlcli.workspace import Workspace

_AHEAD = 32  # photos that are read before their turn
_Place = tuple[str, Box | None]  # the path of a photo, and a part of it


def crop_to_objects(
    photos: "Catalog", encoder: "Encoder", place: "Workspace", known: "Sequence[Embeddings]", *, trusting: bool = True
) -> "tuple[Catalog, Embeddings]":
    """Return a catalog with the boxes of objects, and the embeddings of all its parts.

    Photos that have a box, no product, or a product without other photos stay as they are.

    Args:
        photos: what is embedded.
        encoder: of the model, with the views `OBJECT`.
        place: keeps what was computed, so that only new photos are looked at the next time.
        known: embeddings that may hold some of the images.
        trusting: whether a file with the size, times and inode that it had is taken as unchanged unread.

    Raises:
        UsageError: no product has two photos.
        CannotRun: the model has no maps.
        EmbeddingsError: not one image could be embedded.
    """
    from dmlcli import embeddings
    from dmlcli.catalog import Catalog

    counts = Counter(item.product for item in photos.items if item.product)
    if max(counts.values(), default=0) < 2:
        raise UsageError(
            "--crop auto compares the photos of a product, and no product has two", hint="remove --crop auto"
        )
    with storage.only_writer(place.objects):
        try:
            kept: Embeddings | None = embeddings.open_embeddings(place.objects)
        except EmbeddingsError:
            kept = None
        boxes = _boxes(photos, counts, encoder, kept if trusting else None)
        boxed = [item._replace(box=box) for item, box in zip(photos.items, boxes, strict=True) if box is not None]
        parts = Catalog(photos.root, [*photos.items, *boxed])
        found = encoder.embed_catalog(
            parts, [*([kept] if kept else []), *known], keep_at=place.objects, trusting=trusting
        ).embeddings
        embeddings.save(place.objects, found)
    vectors = {(item.path, item.box): vector for item, vector in zip(found.items, found.vectors, strict=True)}
    chosen = _chosen(photos.items, boxes, vectors)
    items = [item._replace(box=box) for item, box in zip(photos.items, chosen, strict=True)]
    cropped = sum(item.box != before.box for item, before in zip(items, photos.items, strict=True))
    progress.note(
        f"--crop auto: {cropped} of {len(items)} photos are cropped, because their object alone resembles the other "
        "photos of its product more"
    )
    return replace(photos, items=items), found


def _boxes(
    photos: "Catalog", counts: Mapping[str, int], encoder: "Encoder", kept: "Embeddings | None"
) -> list[Box | None]:
    """Return the candidate of each photo; None for those that stay as they are, or cannot be read."""
    from dmlcli.image import read_file, status_of
    from dmlcli.search.cropping import Cropper

    cropper = Cropper(encoder.model, encoder.forward, "auto")
    before = _known_boxes(kept) if kept and kept.model == encoder.fingerprint else {}

    def box(item: "Item") -> Box | None:
        if item.box is not None or not item.product or counts[item.product] < 2:
            return None
        path, _ = photos.photo(item)
        try:
            if (known := before.get(path)) is not None and known[0] == status_of(path).st_mtime_ns:
                return known[1]
            found = cropper.boxes(read_file(path))
        except (ImageError, OSError):  # embedding says why
            return None
        return found[0] if found else None

    results = prefetch.in_order(box, photos.items, ahead=_AHEAD)
    return [done.result() for done in progress.track(results, "finding objects", len(photos.items))]


def _known_boxes(kept: "Embeddings") -> dict[Path, tuple[int, Box]]:
    """Return the candidates that were found before, with the time of change of their files in nanoseconds."""
    return {
        kept.root / item.path: (state.mtime_ns, item.box)
        for item, state in zip(kept.items, kept.states, strict=True)
        if item.box is not None
    }


def _chosen(items: "Sequence[Item]", boxes: Sequence[Box | None], vectors: dict[_Place, Vectors]) -> list[Box | None]:
    """Return the box of each photo: its own, the candidate, or None for the whole photo.

    Args:
        items: the photos.
        boxes: their candidates.
        vectors: (D,) of photos and candidates, as far as they could be embedded.
    """
    chosen = [item.box for item in items]
    products: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        if item.product and (item.path, item.box) in vectors:
            products[item.product].append(number)
    for numbers in products.values():
        if len(numbers) < 2:
            continue
        whole = np.stack([vectors[items[number].path, items[number].box] for number in numbers])  # (n, D)
        cut = np.stack(
            [vectors.get((items[number].path, boxes[number]), own) for number, own in zip(numbers, whole, strict=True)]
        )
        gain = resemblance(cut, whole, cut) - resemblance(whole, whole, cut)
        for number, better in zip(numbers, gain, strict=True):
            if better > 0 and boxes[number] is not None:
                chosen[number] = boxes[number]
    return chosen


def resemblance(asked: Vectors, whole: Vectors, cut: Vectors) -> Vectors:
    """Return how much each photo of a product resembles the others (n,): the mean cosine to the better part of each.

    Args:
        asked: (n, D) the part of each photo that is asked about.
        whole: (n, D) the whole photos.
        cut: (n, D) their candidates.
    """
    best = np.maximum(asked @ whole.T, asked @ cut.T)
    np.fill_diagonal(best, 0)
    return np.asarray(best.sum(axis=1) / (len(best) - 1))
