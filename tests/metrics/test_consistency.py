"""One threshold for all products: the score as loops over products and thresholds compute it."""

import numpy as np
import pytest

from dmlcli.metrics.consistency import HIGHEST, LOWEST, Consistency

CHANCE = np.random.default_rng(0)
STEPS = 1024  # for a similarity of 1


def drawn(middles: list[float]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Right and wrong similarities of products, in the middle of bins."""
    found = []
    for middle in middles:
        pair = (CHANCE.normal(middle, 0.1, 400), CHANCE.normal(middle - 0.4, 0.1, 4000))
        found.append(tuple(((np.floor(one.clip(-1, 0.999) * STEPS) + 0.5) / STEPS).astype(np.float32) for one in pair))
    return found


def counted(products: list[tuple[np.ndarray, np.ndarray]]) -> Consistency:
    names = [f"p{number}" for number in range(len(products)) for _ in range(2)]
    found = Consistency(names)
    for number, (right, wrong) in enumerate(products):
        for part in range(2):
            found.add(2 * number + part, right[part::2], np.append(wrong[part::2], np.float32(-np.inf)))
    return found


def test_the_score_is_the_variance_of_the_utility_between_products() -> None:
    products = drawn([0.5, 0.55, 0.7])
    every = np.concatenate([wrong for _, wrong in products])
    variances = []
    for step in range(-STEPS, STEPS):
        threshold = step / STEPS
        rate = (every >= threshold).mean()
        above = (every >= threshold - 1 / STEPS).mean()
        if rate > HIGHEST or above <= LOWEST:  # the last threshold is the first below the lowest rate
            continue
        utility = []
        for right, wrong in products:
            kept, rejected = (right >= threshold).mean(), (wrong < threshold).mean()
            utility.append(2 * kept * rejected / (kept + rejected) if kept + rejected else 0.0)
        variances.append(np.var(utility))
    assert counted(products).value() == pytest.approx(np.mean(variances), abs=1e-9)


def test_alike_products_score_0_and_shifted_ones_more() -> None:
    (one,) = drawn([0.5])
    assert counted([one, one]).value() == 0
    near, far = (counted(drawn([0.5, 0.5 + shift])).value() for shift in (0.02, 0.2))
    assert near is not None and far is not None and 0 < near < far < 0.25


def test_a_single_product_has_no_score() -> None:
    assert counted(drawn([0.5])).value() is None
