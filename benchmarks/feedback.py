"""What marks on the first page of a query do to the next one: `--right`, `--wrong` and `--minus`.

    python benchmarks/feedback.py ../shared/data [--backbone mobilenet_v2 --weights FILE]
    python benchmarks/feedback.py sample_data --page 4

Queries are photos that training never opens. The ten closest images are marked as right or wrong by their product; the
next page has the ten best of the others. Its precision is the share of right images. Pages: plain, the next ten of the
same search; left out, without the images of wrong products; with `--right IMAGE` and `--wrong IMAGE`, and with
`--wrong PRODUCT`, which leaves the product out; and the latter with the weights of a grid that suit these very queries
best. Intervals (95 %) are of the gain over plain, over products, paired. Seen: the model was trained on all products;
unseen: on a random half, and the others are added to the index and searched.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import held_out
from benchmarks.held_out import Trained
from dmlcli.learn.recipe import Recipe
from dmlcli.metrics import interval95
from dmlcli.model import DEFAULT_BACKBONE
from dmlcli.search.feedback import RIGHT_WEIGHT, WRONG_WEIGHT, moved
from dmlcli.search.product_grouping import unit_mean
from dmlcli.types import Rows, Scores, Vectors

GRID = tuple(product((0.0, 0.5, 0.75, 1.0, 2.0, 4.0), (0.0, 0.15, 0.5, 1.0)))  # weights of right and wrong
SECOND = (  # what is said of the wrong product, the weight of its mean, and whether it is left out
    ("--minus PRODUCT", 0.0, True),
    ("--wrong PRODUCT", WRONG_WEIGHT, True),
    ("--minus PRODUCT:0.5", 0.5, True),
    ("moved away alone, 0.5", 0.5, False),
)
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Gallery(NamedTuple):
    """What is searched."""

    vectors: Vectors  # (G, D)
    names: NDArray[np.str_]  # (G,) products


class Marked(NamedTuple):
    """A query with its first page, all of it marked."""

    vector: Vectors  # (D,)
    first: Rows  # (P,) places in the gallery
    is_right: Flags  # (P,)
    relevant: Flags  # (G,) the gallery images of its product


def main() -> None:
    """Print the precision of each page, and its gain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "dmlcli-answers")
    parser.add_argument("--page", type=int, default=10, help="images on a page")
    asked = parser.parse_args()
    recipe = Recipe(backbone=asked.backbone, weights=asked.weights)
    data = held_out.read(asked.data, recipe, asked.workspace / asked.backbone / asked.data.name)
    half = len({item.product for item in data.photos.items}) // 2
    for name, products in (("seen", set[str]()), ("unseen", held_out.draw(data, half, 0))):
        report(name, held_out.train(data, recipe, products), asked.page)


def report(name: str, trained: Trained, page: int) -> None:
    """Search with the test photos of the products that were held out, of all where none were; print each page."""
    asked = trained.queries
    if trained.is_unseen.any():
        asked = asked[trained.is_unseen[asked]]
    rows = np.concatenate([trained.gallery, trained.unseen])
    gallery, own = Gallery(trained.vectors[rows], trained.names[rows]), trained.names[asked]
    queries = [_marked(trained.vectors[row], trained.names[row], gallery, page) for row in asked]
    first = np.mean([one.is_right.mean() for one in queries])
    plain = np.array([precision(one, gallery.vectors @ one.vector) for one in queries])
    print(f"{name}: {len(queries)} queries; precision of the first page {100 * first:.1f} %, of the next:")
    print(f"  plain            {100 * plain.mean():5.1f} %")
    best = max(GRID, key=lambda weights: next_page(queries, gallery, weights).mean())
    usual = RIGHT_WEIGHT, WRONG_WEIGHT
    pages = [("left out", (0.0, 0.0), True), ("--wrong IMAGE", usual, False), ("--wrong PRODUCT", usual, True)]
    for words, weights, leave_out in [*pages, (f"best: {best[0]:g} {best[1]:g}", best, True)]:
        found = next_page(queries, gallery, weights, leave_out=leave_out)
        print(f"  {words:16} {100 * found.mean():5.1f} %  {_gain(found - plain, own)}")
    _second_answers(queries, gallery, own)


def next_page(
    queries: Sequence[Marked], gallery: Gallery, weights: tuple[float, float], *, leave_out: bool = True
) -> Floats:
    """Return the precision of the next page of each query after feedback (Q,).

    Args:
        queries: with their first pages.
        gallery: what is searched.
        weights: of right and wrong.
        leave_out: whether wrong products are left out, rather than the images that were marked alone.
    """
    found = []
    for query in queries:
        right, wrong = query.first[query.is_right], query.first[~query.is_right]
        scores = gallery.vectors @ _moved(query.vector, gallery, (right, wrong), weights)
        if leave_out:
            scores[np.isin(gallery.names, gallery.names[wrong])] = -np.inf
        found.append(precision(query, scores))
    return np.array(found)


def precision(query: Marked, scores: Scores) -> float:
    """Return the share of right images among the best of those that the first page did not have."""
    scores = scores.copy()
    scores[query.first] = -np.inf
    page = np.argpartition(-scores, len(query.first))[: len(query.first)]
    return float(query.relevant[page].mean())


def _second_answers(queries: Sequence[Marked], gallery: Gallery, own: NDArray[np.str_]) -> None:
    """Print how often the right product is first, once the wrong product that was first is marked."""
    failed = [place for place, one in enumerate(queries) if not one.is_right[0]]
    found: dict[str, list[bool]] = {}
    for place in failed:
        query = queries[place]
        is_wrong = gallery.names == gallery.names[query.first[0]]
        mean = unit_mean(gallery.vectors[is_wrong])[None]
        for words, weight, leave_out in SECOND:
            scores = gallery.vectors @ moved(query.vector, mean, [-weight])
            if leave_out:
                scores[is_wrong] = -np.inf
            found.setdefault(words, []).append(bool(query.relevant[scores.argmax()]))
    print(f"  the right product first, of {len(failed)} queries with a wrong one first, once that is marked:")
    base = np.array(found[SECOND[0][0]], dtype=np.float64)
    for words, right in found.items():
        print(f"  {words:22} {100 * np.mean(right):5.1f} %  {_gain(right - base, own[failed])}")


def _marked(vector: Vectors, name: str, gallery: Gallery, page: int) -> Marked:
    first = np.argsort(-(gallery.vectors @ vector), kind="stable")[:page]
    relevant = gallery.names == name
    return Marked(vector, first, relevant[first], relevant)


def _moved(vector: Vectors, gallery: Gallery, marks: tuple[Rows, Rows], weights: tuple[float, float]) -> Vectors:
    """Return the query after feedback by images, as `dmlcli.search.feedback` moves it."""
    pairs = [
        (rows, weight / len(rows)) for rows, weight in zip(marks, (weights[0], -weights[1]), strict=True) if len(rows)
    ]
    each = [weight for rows, weight in pairs for _ in rows]
    return moved(vector, gallery.vectors[np.concatenate([rows for rows, _ in pairs])], each)


def _gain(gains: Floats, own: NDArray[np.str_]) -> str:
    """Return the mean gain in points, with its interval over products."""
    low, high = interval95(gains, own.tolist()) or (np.nan, np.nan)
    return f"{100 * gains.mean():+5.1f} ({100 * low:+.1f} … {100 * high:+.1f})"


if __name__ == "__main__":
    main()
