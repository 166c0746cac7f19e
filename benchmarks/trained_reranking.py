"""Whether a trained re-ranker finds products better than what `dmlcli query` does: a regression over pairs of photos.

    python benchmarks/trained_reranking.py ../shared/data --model DIR [--draws 5] [--unknown 40] [--step 3]

In each draw a model is trained without some products, which are then added to the index. A pair of a query and one of
its 50 closest images is described by 73 numbers: their cosine, and how the places of two maps match (as in
`local_matching.py`): best cosines of either side, their mean and quantiles, matches that are each other's best, those
of one shift, those in the middle of the photo. A logistic regression of these numbers, standardized over the list, is
fitted to lists of photos that the folds of the training held out; its strength of regularization is the best one for
folds that it was not fitted with. Lists of photos that training never opens test it. Intervals (95 %) are over
products, paired. MODEL is any model with maps of the same backbone; scikit-learn fits the regression.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import held_out, local_matching
from benchmarks.local_matching import DEPTH, MAPS, Floats, Places
from dmlcli.catalog import Catalog, split_for_training
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training.answer_fit import embedded_folds
from dmlcli.learn.training.candidate import lda_candidate
from dmlcli.learn.validation import answers
from dmlcli.learn.validation.plan import make_plan
from dmlcli.learn.validation.training_data import TrainingData
from dmlcli.metrics import interval95
from dmlcli.types import Rows, Vectors

STRENGTHS, WHITENING, SIDE = (1e-4, 1e-3, 1e-2), (0.5, 1.0), 7  # places of a map: SIDE x SIDE
QUANTILES, QUANTILES_BACK = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0), (0.0, 0.25, 0.75, 1.0)
Scorer = Callable[[Floats], Floats]


class List(NamedTuple):
    """The closest images of a query."""

    product: str
    fold: int  # -1: of the test
    is_unseen: bool
    right: NDArray[np.bool_]  # (DEPTH,) whether each image shows the product
    numbers: Floats  # (DEPTH, F) of each pair, the cosine first


def main() -> None:
    """Print what the folds and what the test say of the re-ranker."""
    parser = held_out.arguments(__doc__, draws=5, unknown=40)
    parser.add_argument("--step", type=int, default=3, help="search with every so manieth photo")
    parser.add_argument("--model", type=Path, required=True)
    asked = parser.parse_args()
    data, recipe = held_out.read_for(asked)
    maps = {name: _coarse(one) for name, one in local_matching.read_places(data.photos, asked).items()}
    gains: dict[bool, list[tuple[str, float, float]]] = {False: [], True: []}
    for number in range(asked.draws):
        fitted, tested, default = lists(data, recipe, held_out.draw(data, asked.unknown, number), maps, asked.step)
        strength, gain = chosen(fitted)
        print(f"draw {number}: {len(fitted)} lists of folds, C {strength:g}, {100 * gain:+.1f} in folds", flush=True)
        score = regression(fitted, strength)
        for one, right in zip(tested, default, strict=True):
            hit = _hit(one, score(_standard(one)))
            gains[one.is_unseen].append((one.product, hit - _hit(one, one.numbers[:, 0]), hit - right))
    for is_unseen, found in gains.items():
        names = [name for name, _, _ in found]
        print(f"{'unseen' if is_unseen else 'seen'} products, {len(found)} queries, Recall@1")
        for what, gain_of in (("cosine", 1), ("product score", 2)):
            values = np.array([one[gain_of] for one in found], dtype=float)
            low, high = interval95(values, names) or (np.nan, np.nan)
            print(f"  over the {what:14} {100 * values.mean():+.1f} ({100 * low:+.1f} … {100 * high:+.1f})")


def lists(
    data: TrainingData, recipe: Recipe, held: set[str], maps: dict[str, Places], step: int
) -> tuple[list[List], list[List], list[bool]]:
    """Return the lists to fit to, those to test with, and whether the product score puts the right product first.

    Args:
        data: all photos.
        recipe: all settings.
        held: products that training does not see.
        maps: places of all photos in each map.
        step: search with every so manieth photo of the test.
    """
    trained = held_out.train(data, recipe, held)
    names, rows = trained.names, trained.gallery
    part = Catalog(data.photos.root, [data.photos.items[row] for row in rows])
    own = replace(data, photos=part, split=split_for_training(part), views=data.views[:, rows])
    plan, fitted = make_plan(own, recipe), []
    for number, (fold, vectors) in enumerate(embedded_folds(own, plan, lda_candidate(plan))):
        searches = fold.validation.searches.by_name if fold.validation else {}
        for name, search in searches.items():
            more = search.gallery if name == "unseen" else []
            gallery = np.unique(np.concatenate([fold.train.rows, np.array(more, dtype=np.int64)]))
            for query, top, cosines in closest(np.array(search.queries), gallery, vectors):
                numbers = pair_numbers(int(rows[query]), rows[top], cosines, maps)
                right = names[rows[top]] == names[rows[query]]
                fitted.append(List(str(names[rows[query]]), number, name == "unseen", right, numbers))
    tested, gallery, queries = [], np.concatenate([rows, trained.unseen]), trained.queries[::step]
    for query, top, cosines in closest(queries, gallery, trained.vectors):
        numbers = pair_numbers(int(query), top, cosines, maps)
        tested.append(List(str(names[query]), -1, bool(trained.is_unseen[query]), names[top] == names[query], numbers))
    weight = trained.answers.product_weight if trained.answers else 0.0
    found = answers.search_products(names, queries, gallery, trained.vectors)
    return fitted, tested, [int((one.scores @ [1 - weight, weight]).argmax()) == one.right for one in found]


def closest(queries: Rows, gallery: Rows, vectors: Vectors) -> Iterator[tuple[int, Rows, Floats]]:
    """Yield each query with its closest images in the gallery, itself left out, and their cosines."""
    for query in queries:
        others = gallery[gallery != query]
        cosines = vectors[others] @ vectors[query]
        order = np.argsort(-cosines, kind="stable")[:DEPTH]
        yield int(query), others[order], cosines[order]


def pair_numbers(query: int, top: Rows, cosines: Floats, maps: dict[str, Places]) -> Floats:
    """Return the numbers (K, F) of the pairs of a query with its closest images (K,)."""
    found = [cosines]
    for name, whitening in product(MAPS, WHITENING):
        own, others = (maps[name].unit(rows, whitening) for rows in (np.array([query]), top))
        weight, weights = _shares(maps[name].lengths[query]), _shares(maps[name].lengths[top])
        similar = np.einsum("ad,kbd->kab", own[0], others)  # (K, places of the query, places of the image)
        best, best_back, match = similar.max(axis=2), similar.max(axis=1), similar.argmax(axis=2)
        back = np.take_along_axis(similar.argmax(axis=1), match, axis=1) == np.arange(similar.shape[1])
        found += [best @ weight, (best_back * weights).sum(axis=1), (best * back) @ weight, back.mean(axis=1)]
        found += [np.einsum("kaa,a->k", similar, weight), best.reshape(-1, SIDE, SIDE)[:, 2:5, 2:5].mean(axis=(1, 2))]
        found += [*np.quantile(best, QUANTILES, axis=1), *np.quantile(best_back, QUANTILES_BACK, axis=1)]
        found.append(_of_one_shift(match, np.maximum(best, 0) * back))
    return np.stack(found, axis=1).astype(np.float32)


def _of_one_shift(match: Rows, weights: Floats) -> Floats:
    """Return the most weight (K,) of matches (K, places) that shift the query alike, to within one place."""
    (down, right), (own_down, own_right) = np.divmod(match, SIDE), np.divmod(np.arange(SIDE * SIDE), SIDE)
    votes = np.zeros((len(match), 2 * SIDE, 2 * SIDE))
    image = np.broadcast_to(np.arange(len(match))[:, None], match.shape)
    np.add.at(votes, (image, down - own_down + SIDE, right - own_right + SIDE), weights)
    votes = votes[:, :-1] + votes[:, 1:]
    return np.asarray((votes[:, :, :-1] + votes[:, :, 1:]).max(axis=(1, 2)), dtype=np.float32)


def chosen(fitted: list[List]) -> tuple[float, float]:
    """Return the regularization that gains most Recall@1 in folds that it was not fitted with, and this gain."""
    gains = {}
    for strength in STRENGTHS:
        hits = []
        for fold in {one.fold for one in fitted}:
            score = regression([one for one in fitted if one.fold != fold], strength)
            held = [one for one in fitted if one.fold == fold]
            hits += [_hit(one, score(_standard(one))) - _hit(one, one.numbers[:, 0]) for one in held]
        gains[strength] = float(np.mean(hits))
    best = max(gains, key=gains.__getitem__)
    return best, gains[best]


def regression(fitted: list[List], strength: float) -> Scorer:
    """Return the log-odds of a logistic regression that was fitted to all pairs of some lists."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=300)
    model.fit(np.concatenate([_standard(one) for one in fitted]), np.concatenate([one.right for one in fitted]))
    return lambda numbers: np.asarray(model.decision_function(numbers))


def _hit(one: List, scores: Floats) -> float:
    """Return 1 if the image with the highest score shows the product, else 0."""
    return float(one.right[scores.argmax()])


def _standard(one: List) -> Floats:
    """Return the numbers of a list, each with mean 0 and deviation 1 over it."""
    spread = np.maximum(one.numbers.std(axis=0), 1e-6)
    return np.asarray((one.numbers - one.numbers.mean(axis=0)) / spread, dtype=np.float32)


def _shares(lengths: Floats) -> Floats:
    return np.asarray(lengths / lengths.sum(axis=-1, keepdims=True), dtype=np.float32)


def _coarse(places: Places) -> Places:
    """Return the means of neighboring places, SIDE x SIDE of them."""
    count, factor = len(places.numbers), int(places.numbers.shape[1] ** 0.5) // SIDE
    shape = (count, SIDE, factor, SIDE, factor)
    numbers = places.numbers.astype(np.float32).reshape(*shape, -1).mean(axis=(2, 4)).reshape(count, SIDE * SIDE, -1)
    lengths = places.lengths.reshape(shape).mean(axis=(2, 4)).reshape(count, SIDE * SIDE)
    return Places(numbers.astype(np.float16), lengths, places.deviations)


if __name__ == "__main__":
    main()
