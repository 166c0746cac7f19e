"""Metrics and lowest scores by name."""

import pytest

from dmlcli.errors import UsageError
from dmlcli.evaluation.min_scores import failed, parse_min_scores, selection

PRODUCTS = ("product_recall@1", "product_recall@3", "product_recall@5")


def test_usual_metrics_and_named_ones() -> None:
    assert selection(None).order == ("recall@1", "recall@5", "recall@10", "map@r", "r_precision", *PRODUCTS)
    assert selection(None, (1, 100), product_recall=()).order == ("recall@1", "recall@100", "map@r", "r_precision")
    found = selection("P@1, recall@2,recall@2,nmi,eer,hit@category,cmc_single_shot@5", also=["mrr"])
    assert found.order == (
        "precision@1", "recall@2", "nmi", "eer", "hit@category", "cmc_single_shot@5", "mrr",
    )  # fmt: skip
    assert (found.ranked, found.clusters, found.pairs) == (["precision@1", "recall@2", "mrr"], ["nmi"], ["eer"])
    assert selection("opis,pcf@0.9").by_query == []
    assert found.single_shot == [5] and "nmi" not in found.by_query and "hit@category" in found.by_query


def test_all_are_known_by_name() -> None:
    everything = selection("all")
    assert len(everything.order) > 20 and selection(",".join(everything.order)) == everything


@pytest.mark.parametrize("asked", ["", "recall", "fnmr@fmr=2", "cmc_single_shot@0"])
def test_unknown_metrics_are_usage_errors(asked: str) -> None:
    with pytest.raises(UsageError):
        selection(asked)


def test_lowest_scores() -> None:
    assert parse_min_scores(["recall@1=0.8,map@r=0.5", "fnmr@fmr=0.01=0.2"]) == {
        "recall@1": 0.8,
        "map@r": 0.5,
        "fnmr@fmr=0.01": 0.2,
    }
    assert parse_min_scores(None) == {}
    short = failed({"recall@1": 0.8, "map": 0.5, "mrr": 0.1}, {"recall@1": 0.79, "map": None, "mrr": 0.1})
    assert short == ("recall@1 is 0.7900, below 0.8", "map has no value, minimum 0.5")
