"""Scores by name: the worked examples of the definitions, what needs more of a list than is known, and odd names."""

import numpy as np
import pytest

from dmlcli import metrics
from dmlcli.errors import UsageError
from dmlcli.metrics import ranked
from dmlcli.metrics.confidence import macro_mean, means

FIRST = np.array([1, 3, 6])  # relevance 1,0,1,0,0,1
SECOND = np.array([2, 3])  # relevance 0,1,1


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("recall@1", 1, 0),
        ("recall@2", 1, 1),
        ("precision@1", 1, 0),
        ("precision@4", 2 / 4, 2 / 4),
        ("capped_precision@4", 2 / 3, 1),
        ("capped_precision@1", 1, 0),
        ("r_precision", 2 / 3, 0.5),
        ("map@r", (1 + 2 / 3) / 3, 0.25),
        ("map", (1 + 2 / 3 + 3 / 6) / 3, (1 / 2 + 2 / 3) / 2),
        ("map@1", 1, 0),
        ("map@3", (1 + 2 / 3) / 3, (1 / 2 + 2 / 3) / 2),
        ("mrr", 1, 0.5),
        ("minp", 0.5, 2 / 3),
        ("cmc@3", 1, 1),
    ],
)
def test_worked_examples(name: str, first: float, second: float) -> None:
    values = metrics.score([FIRST, SECOND], [name])[name]
    assert values.tolist() == pytest.approx([first, second])


def test_what_lies_beyond_the_known_hits_has_no_value() -> None:
    """Lists of five hits say nothing about Recall@10, nor about mAP; MRR is 0 where the list ends before."""
    lists = [np.array([2, ranked.UNSEEN]), np.array([ranked.UNSEEN])]
    values = metrics.score(lists, ("recall@5", "recall@10", "map", "map@r", "mrr", "minp"), largest=100, depth=5)
    assert values["recall@5"].tolist() == [1, 0] and values["mrr"].tolist() == [0.5, 0]
    assert values["map@r"].tolist() == [0.25, 0]
    assert all(np.isnan(values[name]).all() for name in ("recall@10", "map", "minp"))


def test_r_beyond_the_known_hits_has_no_value() -> None:
    many = np.array([1, 2, *[ranked.UNSEEN] * 4])
    assert np.isnan(metrics.score([many], ("map@r",), largest=100, depth=5)["map@r"]).all()
    assert metrics.score([many], ("map@r",), largest=100, depth=6)["map@r"].tolist() == [2 / 6]


def test_macro_weighs_products_alike() -> None:
    values, products = np.array([1.0, 1.0, 1.0, 0.0, np.nan]), ["a", "a", "a", "b", "c"]
    assert macro_mean(values, products) == 0.5
    assert means({"recall@1": values, "macro_recall@1": values}, products) == {"recall@1": 0.75, "macro_recall@1": 0.5}
    assert macro_mean(np.array([np.nan]), ["a"]) is None


@pytest.mark.parametrize("name", ["recall", "recall@0", "recall@-1", "recall@r", "macro_", "", "map@", "nonsense@3"])
def test_unknown_names_are_usage_errors(name: str) -> None:
    with pytest.raises(UsageError):
        ranked.find(name)
