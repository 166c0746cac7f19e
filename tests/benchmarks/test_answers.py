"""The figures of benchmarks/answers.py and benchmarks/feedback.py, by hand."""

import numpy as np
import pytest

from benchmarks import answers, feedback


def draw(match: list[float], ranks: list[int]) -> answers.Answers:
    values = np.array(match)
    return answers.Answers(np.array(ranks), np.full(len(ranks), 0.75), values, np.zeros((len(values), 1)), 1.5, 0.5)


def test_rates_are_shares_of_unknown_photos_and_of_right_answers() -> None:
    found = answers.figures(draw([3.0, 1.0, 2.0, 9.0, 1.6, 0.0, 0.0, 0.0], [1, 1, 1, 4]))
    assert found["unknown photos answered"] == 0.25  # one of the last four
    assert found["right answers kept"] == pytest.approx(2 / 3)  # the wrong answer does not count
    assert found["limit"] == pytest.approx(2 / 3) and found["right answers kept, printed"] == 0.5
    assert [found[f"product Recall@{k}"] for k in (1, 3, 5)] == [0.75, 0.75, 1.0]
    assert found["calibration error"] == 0 and found["mean confidence"] == 0.75


def test_boosting_never_sees_the_draw_that_it_is_measured_on() -> None:
    """Where the draw alone says the opposite, its scores are those of the others."""
    rows = np.arange(200.0)
    ranks, match = [1] * 100, rows
    others = [answers.Answers(np.array(ranks), match[:100], match, rows[:, None], 0.0, 0.0)] * 2
    opposite = others[0]._replace(wide=rows[::-1, None])
    scores, measured = answers.boosted([*others, opposite], 2)
    assert measured is opposite and scores[:100].max() < scores[100:].min()


def test_a_page_leaves_out_what_the_first_one_had_and_wrong_products() -> None:
    vectors = np.array([[1, 0], [0.9, 0.44], [0.8, -0.6], [0.7, -0.71], [0.5, 0.87]], np.float32)
    gallery = feedback.Gallery(vectors, np.array(["a", "a", "b", "b", "a"]))
    query = feedback._marked(np.array([1, -0.1], np.float32), "a", gallery, 2)
    assert query.first.tolist() == [0, 2] and query.is_right.tolist() == [True, False]
    assert feedback.precision(query, vectors @ query.vector) == 0.5  # images 1 and 3
    assert feedback.next_page([query], gallery, (0.0, 0.0)).tolist() == [1.0]  # images 1 and 4
    assert feedback.next_page([query], gallery, (0.0, 0.0), leave_out=False).tolist() == [0.5]
