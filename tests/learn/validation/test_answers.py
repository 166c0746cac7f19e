"""The fitted probabilities are calibrated on made-up searches of which the truth is known."""

import numpy as np
import pytest

from dmlcli.learn.validation.answers import FoldAnswers, Found, fit, fit_logistic, fit_softmax, fold_answers
from dmlcli.learn.validation.folds import Search


def searches(count: int, seed: int, known: bool = True) -> list[Found]:
    """Queries whose right product is drawn by a softmax with weight 0.75 and sharpness 20; unknown ones score less."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scores = np.sort(rng.uniform(0, 0.9 if known else 0.7, size=(8, 2)), axis=1)[:, ::-1]
        powers = np.exp(20 * (0.25 * scores[:, 0] + 0.75 * scores[:, 1]))
        found.append(Found(scores, int(rng.choice(8, p=powers / powers.sum())) if known else -1))
    return found


def test_the_softmax_is_found_again() -> None:
    weight, sharpness = fit_softmax(searches(4000, 0))
    assert weight == pytest.approx(0.75, abs=0.05) and sharpness == pytest.approx(20, rel=0.1)


def test_a_weight_is_never_negative() -> None:
    """Where the mean of three speaks against a product, the best image alone is used."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(500):
        scores = rng.uniform(0, 1, size=(6, 2))
        found.append(Found(scores, int((scores[:, 0] - 0.5 * scores[:, 1]).argmax())))
    weight, sharpness = fit_softmax(found)
    assert weight == 0 and sharpness > 0


def test_logistic_regression_finds_its_weights_again() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(5000, 3)) * [1, 10, 0.1]
    log_odds = inputs @ [1.0, -0.2, 5.0] + 0.5
    target = rng.random(5000) < 1 / (1 + np.exp(-log_odds))
    assert fit_logistic(inputs, target, np.ones(5000)) == pytest.approx([1.0, -0.2, 5.0, 0.5], abs=0.25)


def test_confidence_and_rate_hold_out_of_sample() -> None:
    folds = [FoldAnswers(searches(300, seed), [], searches(300, 10 + seed, known=False)) for seed in range(3)]
    model = fit(folds)
    assert model is not None and (model.folds, model.photos) == (3, 1800)
    new, unknown = searches(3000, 50), searches(3000, 60, known=False)
    first = [int(model.scores(one.scores).argmax()) for one in new]
    right = np.array([one.right == place for one, place in zip(new, first, strict=True)])
    sure = np.array([model.confidences(one.scores).max() for one in new])
    assert sure.mean() == pytest.approx(right.mean(), abs=0.03)
    accepted = model.acceptance(0.05)
    limit = np.log(accepted.match / (1 - accepted.match))
    assert np.mean([model.log_odds(one.scores) >= limit for one in unknown]) == pytest.approx(0.05, abs=0.02)
    kept = np.mean([model.log_odds(one.scores) >= limit for one, good in zip(new, right, strict=True) if good])
    assert kept == pytest.approx(accepted.kept, abs=0.05)


def test_too_few_photos_fit_nothing() -> None:
    assert fit([FoldAnswers(searches(20, 0), [], searches(300, 1, known=False))]) is None
    assert fit([FoldAnswers(searches(300, 0), [], searches(20, 1, known=False))]) is None
    assert fit([]) is None


def test_unknown_photos_are_searched_without_their_own_product() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 2, 2, 0]]
    products = ["a", "b", "c", "c", "a"]  # c is unseen; rows 2 and 4 ask
    made = {"unseen": Search([2], [3]), "seen": Search([4], [0, 1])}
    found = fold_answers(products, [0, 1], made, vectors)
    assert [one.right for one in found.unknown] == [-1] and found.unknown[0].scores.max() == 0
    assert [one.right for one in found.added] == [0] and found.added[0].scores[0].tolist() == [1, 1]
    assert [one.right for one in found.seen] == [0] and found.seen[0].scores[0].tolist() == [1, 1]
    among_themselves = {"unseen": Search([2, 3], [2, 3])}
    assert fold_answers(products, [0, 1], among_themselves, vectors).added == []


def test_nothing_is_fitted_where_hardly_any_photo_finds_its_product() -> None:
    rng = np.random.default_rng(4)
    known = [Found(np.sort(rng.uniform(0, 1, (8, 1)), axis=0)[::-1].repeat(2, axis=1), 7) for _ in range(40)]
    assert fit([FoldAnswers(known, [], searches(40, 5, known=False))]) is None
