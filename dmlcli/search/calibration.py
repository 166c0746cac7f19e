"""--max-false-accepts for a model without probabilities: the threshold for unknown products, estimated from the index.

A query for an unknown product finds the best wrong one. Its score can be estimated without photos of unknown products:
take an image of the index, forget its product, and see how close the best of the others comes. The threshold is the
score that the allowed share of these reaches; how far up it must lie for that to hold for the *next* product is found
by leaving out every product once more.

Products that a model was trained on lie further from the others than unseen ones will: asked with them, the threshold
would lie too low. Where the index holds enough products that the model has never seen, only their images are asked
with; else the threshold is at least that of the cross-validation in training, with products that it held out.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.errors import CannotRun
from dmlcli.indexes.gallery import Gallery, ItemTable
from dmlcli.storage import records
from dmlcli.types import Ids, Scores, Vectors

REFUSED = 0.95  # share of photos of unknown products that a threshold rejects by default
_SPARE = 0.01  # added to it: phones see products a little more alike than the catalog's own images are
_ASKED, _BLOCK, _LEFT_OUT, _FEWEST = 2000, 4096, 500, 5  # images, vectors at a time, products
_ENOUGH = 20  # products never seen in training, from which nothing else is needed
_SEED = 0
# measured on: every product; those that the model never saw; cross-validation, as all were trained on; trained ones
Basis = Literal["all", "unseen", "cross_validated", "trained"]
FetchVectors = Callable[[Ids], Vectors]  # of these images (n, D)


@dataclass(frozen=True)
class Calibration:
    """A threshold, and the data that it was estimated from."""

    threshold: float  # cosine
    refused: float  # target share of photos of unknown products that are rejected
    kept: float | None  # share of the images asked with whose own product is above it; None where none has a second, or
    # the model was trained on them all
    images: int  # asked with
    products: int  # that they show
    basis: Basis


_SHARE = records.number(0, 1)
_CALIBRATION = records.record_of(
    {
        "threshold": records.number(-1, 2),
        "refused": _SHARE,
        "kept": records.optional(_SHARE),
        "images": records.whole(),
        "products": records.whole(),
        "basis": records.one_of("all", "unseen", "cross_validated", "trained"),
    }
)


@dataclass(frozen=True)
class Training:
    """The products that a model was trained on, and the threshold from its cross-validation."""

    products: Sequence[str] = ()
    open_set: float | None = None  # cosine below which 95 % of the photos of held-out products were in cross-validation


def calibrate(
    rows: FetchVectors, products: Sequence[str], training: Training | None = None, refused: float = REFUSED
) -> Calibration:
    """Find the threshold for an index.

    Args:
        rows: returns the unit vectors (n, D) of some of the N rows; called for a few rows at a time.
        products: the product at each place, "" where unknown.
        training: what the model was trained on; None for one that was not.
        refused: share of the photos of unknown products to reject.

    Raises:
        CannotRun: fewer than five products.
    """
    names, codes = np.unique(np.asarray(products, dtype=object).astype(str), return_inverse=True)
    unknown = names == ""
    training = training or Training()
    trained = np.isin(names, list(training.products))
    unseen = ~trained & ~unknown
    fresh = int(unseen.sum()) >= (_FEWEST if training.open_set is None else _ENOUGH)
    askable = unseen if fresh else ~unknown
    if int(askable.sum()) < _FEWEST:
        raise CannotRun(
            f"--max-false-accepts needs at least {_FEWEST} usable products, the index has {int(askable.sum())}",
            hint="use a number, for example --min-score 0.6",
        )
    asked = _sample(np.flatnonzero(askable[codes]), codes)
    found = _closest(rows, codes, asked)
    threshold = _threshold(found, codes[asked], refused)
    basis: Basis = "unseen" if fresh and trained.any() else "all" if fresh or not trained.any() else "trained"
    if basis == "trained" and training.open_set is not None:
        threshold, basis = max(threshold, training.open_set), "cross_validated"
    several = np.isfinite(found.own)
    held_out = basis in ("all", "unseen")  # photos that the model was fitted on say nothing about those to come
    kept = float((found.own[several] >= threshold).mean()) if held_out and several.any() else None
    return Calibration(
        threshold=round(threshold, 6),
        refused=refused,
        kept=kept,
        images=len(asked),
        products=len(np.unique(codes[asked])),
        basis=basis,
    )


def of_gallery(
    gallery: Gallery, items: ItemTable, training: Training | None = None, refused: float = REFUSED
) -> Calibration:
    """Return the calibration of a gallery: the stored one if it is up to date, else a new one.

    Args:
        gallery: the index or collection.
        items: its item table.
        training: the products that the model was trained on; None: unknown.
        refused: share of the photos of unknown products to reject.
    """
    mark = _mark(gallery.stamp, training, refused)
    record = gallery.kept() or {}
    kept: Any = record.get("calibration")
    if record.get("of") == mark and _CALIBRATION.fits(kept):  # a damaged one is found again
        return Calibration(**kept)
    ids, products = items.products()
    found = calibrate(lambda places: gallery.vectors(ids[places]), products, training, refused)
    gallery.keep({"of": mark, "calibration": asdict(found)})
    return found


def _mark(stamp: bytes, training: Training | None, refused: float) -> str:
    """Return a key that changes with the gallery, the training data or the rate."""
    known = [refused, *([sorted(training.products), training.open_set] if training else [])]
    return hashlib.blake2b(stamp + json.dumps(known).encode(), digest_size=16).hexdigest()


def _sample(rows: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most a number of rows, drawn evenly over the products."""
    shuffled = np.random.default_rng(_SEED).permutation(rows)
    order = np.argsort(codes[shuffled], kind="stable")
    of = codes[shuffled][order]
    turn = np.arange(len(of)) - np.searchsorted(of, of)  # the how manieth of its product
    return np.sort(shuffled[order][np.argsort(turn, kind="stable")[:_ASKED]])


class _BestScores(NamedTuple):
    """The best scores of each query image, searched without its own product; all (Q,), -inf where there is nothing."""

    wrong: Scores  # cosine of the best image of another product
    whose: NDArray[np.int64]  # which product that is
    second: Scores  # cosine of the best image of yet another product
    own: Scores  # cosine of the best other image of its own product


def _closest(rows: FetchVectors, codes: NDArray[np.int64], asked: NDArray[np.int64]) -> _BestScores:
    queries = rows(asked)
    each = np.arange(len(asked))
    wrong, second, own = (np.full(len(asked), -np.inf, dtype=np.float32) for _ in range(3))
    whose, second_of = np.full((2, len(asked)), -1)
    for start in range(0, len(codes), _BLOCK):
        of = codes[start : start + _BLOCK]
        places = np.arange(start, start + len(of))
        scores = queries @ rows(places).T  # (Q, block)
        same = codes[asked][:, None] == of
        itself = asked[:, None] == places
        own = np.maximum(own, np.where(same & ~itself, scores, -np.inf).max(axis=1))
        scores[same] = -np.inf
        best = scores.argmax(axis=1)
        top, top_of = scores[each, best], of[best]
        scores[top_of[:, None] == of] = -np.inf
        four = np.stack([wrong, second, top, scores.max(axis=1)])  # (4, Q): of these, the best two of two products
        owners = np.stack([whose, second_of, top_of, of[scores.argmax(axis=1)]])
        first = four.argmax(axis=0)
        wrong, whose = four[first, each], owners[first, each]
        four[owners == whose] = -np.inf
        then = four.argmax(axis=0)
        second, second_of = four[then, each], owners[then, each]
    return _BestScores(wrong, whose, second, own)


def _threshold(found: _BestScores, product: NDArray[np.int64], share: float) -> float:
    """Return the lowest threshold that rejects held-out products as often as promised."""
    left_out = np.unique(product)
    if len(left_out) > _LEFT_OUT:
        left_out = np.random.default_rng(_SEED).choice(left_out, _LEFT_OUT, replace=False)
    levels = np.linspace(share, 1, 51)
    by_photo, by_product = np.zeros((2, len(levels)))
    photos = 0
    for one in left_out:
        mine = product == one
        others = np.where(found.whose == one, found.second, found.wrong)[~mine]
        refused = found.wrong[mine][:, None] < np.quantile(others, levels)  # (photos of this product, levels)
        by_photo += refused.sum(axis=0)
        by_product += refused.mean(axis=0)
        photos += int(mine.sum())
    enough = np.flatnonzero(np.minimum(by_photo / photos, by_product / len(left_out)) >= min(share + _SPARE, 1))
    return float(np.quantile(found.wrong, levels[enough[0] if len(enough) else -1]))
