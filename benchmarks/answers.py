"""How far the answers of `dmlcli query` can be trusted: product Recall@K, confidence, and photos of unindexed products.

    python benchmarks/answers.py ../shared/data [--backbone mobilenet_v2 --weights FILE] [--draws 10] [--unknown 16]
    python benchmarks/answers.py sample_data --unknown 11

In each draw a model is trained without some products, and searched with photos that training never opens: split test of
the grocery photos, or the snapshots of sample_data. Photos of the held-out products show unindexed products. A right
answer is kept if its `match` reaches the least one for 5 % false accepts. Two limits show what a better `match` could
keep. `limit`: at exactly 5 % in the draw itself. `boosted limit`: the same for gradient boosting over all cosines of
the first products and what lies around the closest image, fitted to the test photos of all other draws, which no
training has; most of them are in this draw, too.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import held_out
from benchmarks.held_out import Trained
from dmlcli.evaluation.reliability import reliability
from dmlcli.learn.validation.answers import Found, search_products
from dmlcli.product_score import RECALL_AT
from dmlcli.search.confidence import AnswerModel, properties
from dmlcli.types import Rows

RATE = 0.05  # of false accepts
FIRST = 8  # products of which the limit may use all cosines
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Answers(NamedTuple):
    """The answers of one draw to photos of indexed products, K of them, and of unknown ones, U."""

    ranks: NDArray[np.int64]  # (K,) of the right product
    confidence: Floats  # (K,) of the first product
    match: Floats  # (K + U,) log-odds
    wide: Floats  # (K + U, P) what the boosted limit is fitted to
    least: float  # the least log-odds that cross-validation gives for RATE
    kept: float  # the share of right answers that it promises to keep

    @property
    def is_right(self) -> Flags:
        """(K + U,) whether the first product is the right one."""
        return np.append(self.ranks == 1, np.zeros(len(self.match) - len(self.ranks), dtype=bool))

    @property
    def is_unknown(self) -> Flags:
        """(K + U,) whether the photo shows an unknown product."""
        return np.arange(len(self.match)) >= len(self.ranks)


def main() -> None:
    """Print the figures of each draw, and their mean and standard deviation."""
    asked = held_out.arguments(__doc__, draws=10, unknown=16).parse_args()
    data, recipe = held_out.read_for(asked)
    draws = [answered(held_out.train(data, recipe, held_out.draw(data, asked.unknown, n))) for n in range(asked.draws)]
    found = [figures(one) | {"boosted limit": kept(*boosted(draws, n))} for n, one in enumerate(draws)]
    for name in found[0]:
        values = 100 * np.array([one[name] for one in found])
        print(
            f"{name:28} {values.mean():5.1f} ± {values.std():4.1f} %  {' '.join(f'{value:5.1f}' for value in values)}"
        )


def answered(trained: Trained) -> Answers:
    """Search with all test photos of a draw."""
    model = trained.answers
    assert model is not None, "too few photos could be held out"
    asked = trained.queries
    known, unknown = asked[~trained.is_unseen[asked]], asked[trained.is_unseen[asked]]
    found = [search_products(trained.names, rows, trained.gallery, trained.vectors) for rows in (known, unknown)]
    every, around = [*found[0], *found[1]], _around(trained, np.concatenate([known, unknown]))
    accepted = model.acceptance(RATE)
    return Answers(
        ranks=np.array([_rank(one, model) for one in found[0]]),
        confidence=np.array([model.confidences(one.scores).max() for one in found[0]]),
        match=np.array([model.log_odds(one.scores) for one in every]),
        wide=np.stack([_wide(one, model, beside) for one, beside in zip(every, around, strict=True)]),
        least=float(np.log(accepted.match / (1 - accepted.match))),
        kept=accepted.kept,
    )


def figures(draw: Answers) -> dict[str, float]:
    """Return the figures of one draw, in [0, 1]."""
    unknown, right = draw.match[draw.is_unknown], draw.match[draw.is_right]
    return {
        **{f"product Recall@{k}": float((draw.ranks <= k).mean()) for k in RECALL_AT},
        "mean confidence": float(draw.confidence.mean()),
        "calibration error": reliability(draw.confidence, (draw.ranks == 1).astype(float)).expected_calibration_error,
        "unknown photos answered": float((unknown >= draw.least).mean()),
        "right answers kept": float((right >= draw.least).mean()),
        "right answers kept, printed": draw.kept,
        "limit": kept(draw.match, draw),
    }


def kept(scores: Floats, draw: Answers) -> float:
    """Return the share of right answers with scores above those of 95 % of the photos of unindexed products."""
    limit = np.quantile(scores[draw.is_unknown], 1 - RATE)
    return float((scores[draw.is_right] > limit).mean())


def boosted(draws: Sequence[Answers], number: int) -> tuple[Floats, Answers]:
    """Return scores of the answers of one draw, by boosting that is fitted to all others, and the draw."""
    others = [one for place, one in enumerate(draws) if place != number]
    rows = np.concatenate([one.wide for one in others])
    right, unknown = (np.concatenate([getattr(one, name) for one in others]) for name in ("is_right", "is_unknown"))
    weights = np.where(unknown, (~unknown).sum() / unknown.sum(), 1.0)
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.06, max_leaf_nodes=12, min_samples_leaf=40)
    model.fit(rows, right, weights)
    return model.decision_function(draws[number].wide), draws[number]


def _rank(found: Found, model: AnswerModel) -> int:
    """Return the rank of the right product by product score; after the last one where it is not among them."""
    scores = model.scores(found.scores)
    return len(scores) + 1 if found.right < 0 else 1 + int((scores > scores[found.right]).sum())


def _wide(found: Found, model: AnswerModel, around: Floats) -> Floats:
    """Return the properties of an answer (P,) that boosting is fitted to.

    Args:
        found: the products of the answer.
        model: ranks them.
        around: (A,) what `_around` says of the query.
    """
    scores = model.scores(found.scores)
    best = found.scores[np.argsort(-scores)[:FIRST]]
    rows = np.full((FIRST, 2), np.nan)  # boosting takes gaps
    rows[: len(best)] = best
    return np.concatenate([properties(found.scores, scores), rows.ravel(), around])


def _around(trained: Trained, queries: Rows) -> Floats:
    """Return what lies around each query and its closest image (Q, 8)."""
    vectors, names = trained.vectors[trained.gallery], trained.names[trained.gallery]
    between = vectors @ vectors.T
    same = names[:, None] == names
    other = np.where(same, -1, between).max(axis=1)  # cosine of each image with the closest of another product
    np.fill_diagonal(between, np.nan)
    own = np.where(same, between, np.nan)
    found = []
    for query in queries:
        cosines = vectors @ trained.vectors[query]
        order = np.argsort(-cosines)
        first = order[0]
        alike, share = cosines[names == names[first]], [(names[order[:k]] == names[first]).mean() for k in (5, 10)]
        dense = other[first], np.nanmax(own[first], initial=-1), np.nanmean(own[first])
        found.append([*dense, *share, alike.mean(), cosines.mean(), cosines.std()])
    return np.array(found)


if __name__ == "__main__":
    main()
