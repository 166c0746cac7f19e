"""Matching by similarity alone: area, equal error and misses at a rate of false matches, as sorting would have them."""

import numpy as np
import pytest

from dmlcli.metrics.verification import Pairs, rate

CHANCE = np.random.default_rng(0)
RIGHT = CHANCE.normal(0.5, 0.2, 900).clip(-1, 1).astype(np.float32)
WRONG = CHANCE.normal(0.1, 0.2, 9000).clip(-1, 1).astype(np.float32)


def counted() -> Pairs:
    pairs = Pairs()
    for part in range(9):
        pairs.add(RIGHT[part::9], np.append(WRONG[part::9], np.float32(-np.inf)))
    return pairs


def test_the_area_is_the_chance_that_right_is_closer_than_wrong() -> None:
    expected = (RIGHT[:, None] > WRONG).mean() + (RIGHT[:, None] == WRONG).mean() / 2
    assert counted().value("auc") == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("digits", [0, 1])
def test_equal_similarities_count_half(digits: int) -> None:
    """Rounded, many pairs are ties; all equal is no better than chance."""
    right, wrong = RIGHT.round(digits), WRONG.round(digits)
    ties = (right[:, None] == wrong).mean()
    pairs = Pairs()
    pairs.add(right, wrong)
    assert ties > 0.05
    assert pairs.value("auc") == pytest.approx((right[:, None] > wrong).mean() + ties / 2, abs=1e-12)
    equal = Pairs()
    equal.add(np.ones(5, np.float32), np.ones(7, np.float32))
    assert equal.value("auc") == equal.value("eer") == 0.5


def test_misses_at_a_rate_of_false_matches() -> None:
    for wanted in (0.1, 0.01, 0.001):
        threshold = np.quantile(WRONG, 1 - wanted)
        assert counted().value(f"fnmr@fmr={wanted}") == pytest.approx((threshold > RIGHT).mean(), abs=3e-3)
        assert (counted().threshold(wanted) <= WRONG).mean() <= wanted


def test_equal_error() -> None:
    error = counted().value("eer")
    assert error is not None
    at = np.quantile(RIGHT, error)
    assert (at <= WRONG).mean() == pytest.approx(error, abs=5e-3)


def test_nothing_to_compare_has_no_value() -> None:
    pairs = Pairs()
    pairs.add(RIGHT, WRONG[:0])
    assert pairs.value("auc") is None and pairs.value("eer") is None


@pytest.mark.parametrize(("name", "expected"), [("fnmr@fmr=1e-3", 1e-3), ("fnmr@fmr=.5", 0.5), ("fnmr@fmr=2", None)])
def test_rates_by_name(name: str, expected: float | None) -> None:
    assert rate(name) == expected
