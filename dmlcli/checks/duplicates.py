"""Duplicate photos: the same bytes, or the same picture compressed, resized or slightly cropped.

Near-duplicates are found without comparing all with all. Each of several tables keys every photo by a dozen or so bits
drawn from its hash; photos with the same key lie side by side when the table is sorted, and only such neighbors are
compared, a bounded number of them each. So time is N log N and memory a few numbers a photo, whatever the catalog.
A pair is missed where in every table one of the drawn bits differs: none in a catalog of five thousand; of 300,000
photos, none up to 8 bits of difference, 1 % at 12 and 13 % at 16 (measured).
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dmlcli.catalog import Catalog
from dmlcli.checks import perceptual_hash
from dmlcli.checks.identity import file_identity
from dmlcli.checks.scan import Scan
from dmlcli.report.doctor import Problem, Severity

ALIKE_BITS = 16  # of 128 may differ; measured on real photos, see fingerprint.hashes
ALIKE_COLORS = 0.98  # cosine of the thumbnails; other photos of a product are hardly ever as close
_TABLES = 32
_WINDOW = 64  # neighbors in a sorted table that each photo is compared with
_BYTES = perceptual_hash.BITS // 8
_SEED = 0  # of the drawn bits: the same catalog gives the same answer

Pairs = NDArray[np.int64]  # (P, 2) rows, the earlier one first, sorted


def problems(catalog: Catalog, scan: Scan) -> Iterator[Problem]:
    """Yield one row for each photo that has an earlier copy: of its own product, of another, in another split."""
    same = identical(scan)
    near = alike(scan, same)
    for pairs, exact in ((same, True), (near, False)):
        reported: set[tuple[int, str]] = set()
        for first, second in pairs.tolist():
            problem = _problem(catalog, first, second, exact)
            if problem is not None and (second, problem.problem) not in reported:
                reported.add((second, problem.problem))
                yield problem


def identical(scan: Scan) -> Pairs:
    """Return each photo whose bytes were seen before, paired with the first that has them."""
    read = np.flatnonzero(scan.digests.any(axis=1))
    _, first, group = np.unique(scan.digests[read], axis=0, return_index=True, return_inverse=True)
    firsts = read[first[group.reshape(-1)]]  # (R,)
    copy = firsts != read
    return np.stack([firsts[copy], read[copy]], axis=1)


def alike(scan: Scan, same: Pairs) -> Pairs:
    """Return the pairs of photos that show the same picture but are not the same file."""
    candidate = scan.comparable.copy()
    candidate[same[:, 1]] = False  # a copy is reported once, by its first
    rows = np.flatnonzero(candidate)
    hashes, thumbnails = scan.hashes[rows], scan.small[rows]
    generator = np.random.default_rng(_SEED)
    width = int(np.clip(np.ceil(np.log2(max(len(rows), 2))), 8, 24))
    bits = np.unpackbits(hashes.view(np.uint8).reshape(len(rows), _BYTES), axis=1)  # (R, 128)
    found = [np.zeros((0, 2), dtype=np.int64)]
    for _ in range(_TABLES):
        drawn = generator.choice(perceptual_hash.BITS, size=width, replace=False)
        keys = np.zeros(len(rows), dtype=np.uint32)
        for bit in drawn:
            keys = (keys << np.uint32(1)) | bits[:, bit]
        found.append(_neighbors(keys, hashes))
    pairs = np.unique(np.concatenate(found), axis=0)
    return rows[pairs[_same_colors(pairs, thumbnails)]]


def is_alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return whether pairs of miniatures (B, 32, 32, 3) show the same picture: (B,)."""
    distance = _distance(perceptual_hash.hashes(one), perceptual_hash.hashes(other))
    first, second = perceptual_hash.unit(perceptual_hash.small(one)), perceptual_hash.unit(perceptual_hash.small(other))
    alike: NDArray[np.bool_] = (distance <= ALIKE_BITS) & (np.einsum("ij,ij->i", first, second) >= ALIKE_COLORS)
    return alike


def _neighbors(keys: NDArray[np.uint32], hashes: perceptual_hash.Hashes) -> Pairs:
    """Return pairs with equal keys and close hashes, comparing each photo with the next _WINDOW of its key."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0], keys))
    here, sorted_keys, found = np.arange(len(order)), keys[order], []
    for step in range(1, _WINDOW + 1):
        here = here[here + step < len(order)]
        here = here[sorted_keys[here] == sorted_keys[here + step]]
        if not len(here):
            break
        one, other = order[here], order[here + step]
        close = _distance(hashes[one], hashes[other]) <= ALIKE_BITS
        found.append(np.sort(np.stack([one[close], other[close]], axis=1), axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)


def _distance(one: perceptual_hash.Hashes, other: perceptual_hash.Hashes) -> NDArray[np.int64]:
    """Return the number of differing bits of each pair."""
    differing = np.ascontiguousarray(one ^ other).view(np.uint8).reshape(len(one), _BYTES)
    ones: NDArray[np.int64] = _ONES[differing].sum(axis=1, dtype=np.int64)
    return ones


def _same_colors(pairs: Pairs, thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pairs have similar colors, too: mugs in two glazes are two products."""
    same = np.zeros(len(pairs), dtype=np.bool_)
    for start in range(0, len(pairs), 1 << 14):
        part = slice(start, start + (1 << 14))
        one, other = (perceptual_hash.unit(thumbnails[pairs[part, side]]) for side in (0, 1))
        same[part] = np.einsum("ij,ij->i", one, other) >= ALIKE_COLORS
    return same


def _problem(catalog: Catalog, first: int, second: int, exact: bool) -> Problem | None:
    one, other = catalog.items[first], catalog.items[second]
    kind = "the same file" if exact else "nearly the same picture"
    severity: Severity = "problem"
    name: Literal["listed-twice", "two-products", "across-splits", "duplicate", "near-duplicate"]
    photos = catalog.photo(one), catalog.photo(other)
    if file_identity(photos[0].path) == file_identity(photos[1].path):
        name = "listed-twice"
        where = [", ".join(filter(None, (item.product, item.split and f"split {item.split}"))) for item in (one, other)]
        detail = f"one file, under {where[0]} and {where[1]}" if where[0] != where[1] else "one file"
        suggestion = "list the file once; the entries are spellings of one path, or links to one file: do not delete it"
    elif one.product and other.product and one.product != other.product:
        name = "two-products"
        detail = f"{kind} under {other.product} and {one.product}"
        suggestion = "list it under the correct product; training and search use both copies"
    elif one.split != other.split:
        name = "across-splits"
        detail = f"{kind} in splits {other.split or 'none'} and {one.split or 'none'}"
        suggestion = "list it in one split: scores are too high if the other split is trained on or searched"
    else:
        name = "duplicate" if exact else "near-duplicate"
        detail = kind
        suggestion = "list one of them: copies find each other, which inflates leave-one-out scores"
    return Problem(str(catalog.root / other.path), name, str(catalog.root / one.path), suggestion, severity, detail)


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)  # bits set in a byte
