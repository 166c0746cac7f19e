"""What other models of answers would give: isotonic regression for confidence, other properties for `match`.

    python benchmarks/answer_models.py ../shared/data [--backbone mobilenet_v2 --weights FILE] [--draws 10]
    python benchmarks/answer_models.py sample_data --unknown 11

The draws are those of benchmarks/answers.py. All models are fitted to the photos that cross-validation held out, and
measured with test photos. `isotonic` maps the confidence of the first product to the share of right ones. For `match`:
the photos of unindexed products that are answered, and the right answers that are kept, with the limit for 5 % from
cross-validation; and what the limit that is right for the draw would keep.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import held_out
from benchmarks.held_out import Trained
from dmlcli.evaluation.reliability import reliability
from dmlcli.learn.validation.answers import Found, fit_logistic, search_products
from dmlcli.search.confidence import AnswerModel, properties

RATE = 0.05  # of false accepts
SUBSETS = {  # of the properties: cosine, gap to the second, agreement, gap to the next five
    "all four": [0, 1, 2, 3],
    "cosine, second": [0, 1],
    "cosine, next five": [0, 3],
    "cosine": [0],
}
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def main() -> None:
    """Print the mean and standard deviation of each figure over the draws."""
    asked = held_out.arguments(__doc__, draws=10, unknown=16).parse_args()
    data, recipe = held_out.read_for(asked)
    draws = [figures(held_out.train(data, recipe, held_out.draw(data, asked.unknown, n))) for n in range(asked.draws)]
    for name in draws[0]:
        values = 100 * np.array([one[name] for one in draws])
        print(f"{name:36} {values.mean():5.1f} ± {values.std():4.1f} %")


def figures(trained: Trained) -> dict[str, float]:
    """Return the figures of one draw, in [0, 1]."""
    model = trained.answers
    assert model is not None, "too few photos could be held out"
    asked = trained.queries
    known, unknown = (
        search_products(trained.names, asked[trained.is_unseen[asked] == side], trained.gallery, trained.vectors)
        for side in (False, True)
    )
    seen = [one for fold in trained.folds for one in fold.seen]
    return {
        **_calibration(model, [*seen, *(one for fold in trained.folds for one in fold.added)], known),
        **_matches(model, seen, [one for fold in trained.folds for one in fold.unknown], known, unknown),
    }


def _calibration(model: AnswerModel, held: Sequence[Found], known: Sequence[Found]) -> dict[str, float]:
    """Return the calibration error of the test photos, of the softmax and of isotonic regression on it."""
    is_right = _are_right(model, known).astype(float)
    confidence = _first(model, known)
    step = IsotonicRegression(out_of_bounds="clip", y_min=0.01, y_max=0.99)
    step.fit(_first(model, held), _are_right(model, held))
    every = {"softmax": confidence, "isotonic": step.predict(confidence)}
    return {f"ECE, {name}": reliability(sure, is_right).expected_calibration_error for name, sure in every.items()}


def _matches(
    model: AnswerModel, seen: Sequence[Found], held: Sequence[Found], known: Sequence[Found], unknown: Sequence[Found]
) -> dict[str, float]:
    """Return what `match` does with some of its properties.

    Args:
        model: ranks the products.
        seen: answers to held-out photos of seen products.
        held: the same of unindexed products.
        known: answers to test photos of indexed products.
        unknown: the same of unindexed products.
    """
    inside, outside, right, other = (_properties(model, one) for one in (seen, held, known, unknown))
    right = right[_are_right(model, known)]
    target = np.append(_are_right(model, seen), np.zeros(len(held), dtype=bool))
    weights = np.append(np.ones(len(seen)), np.full(len(held), len(seen) / len(held)))
    found = {}
    for name, columns in SUBSETS.items():
        fitted = fit_logistic(np.concatenate([inside, outside])[:, columns], target, weights)[:-1]
        odds = {key: rows[:, columns] @ fitted for key, rows in (("held", outside), ("right", right), ("other", other))}
        limit, own = (np.quantile(odds[key], 1 - RATE) for key in ("held", "other"))
        found[f"{name}: unknown answered"] = float((odds["other"] >= limit).mean())
        found[f"{name}: right kept"] = float((odds["right"] >= limit).mean())
        found[f"{name}: kept at exactly 5 %"] = float((odds["right"] > own).mean())
    return found


def _properties(model: AnswerModel, found: Sequence[Found]) -> Floats:
    return np.array([properties(one.scores, model.scores(one.scores)) for one in found])


def _are_right(model: AnswerModel, found: Sequence[Found]) -> Flags:
    return np.array([one.right == int(model.scores(one.scores).argmax()) for one in found])


def _first(model: AnswerModel, found: Sequence[Found]) -> Floats:
    """Return the confidence of the first product of each answer."""
    return np.array([model.confidences(one.scores).max() for one in found])


if __name__ == "__main__":
    main()
