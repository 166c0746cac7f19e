"""The published results are tables whose every row can be read, and stand beside scores of the same test only."""

import pytest

from dmlcli.evaluation.published import BENCHMARKS, among, objections, published
from dmlcli.report.eval import EvalReport


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_row_of_a_table_is_sound(name: str) -> None:
    rows = published(name)
    assert len(rows) > 20
    for row in rows:
        values = [value for value in row.recall.values() if value is not None]
        assert list(row.recall) == [f"recall@{k}" for k in BENCHMARKS[name].recall]
        assert values[0] == row.recall["recall@1"] and values == sorted(values)
        assert min(values) > 0.2 and max(values) < 1
        assert 2015 < row.year < 2030 and row.mark in ("V", "M") and row.network and row.source
        assert row.dim is None or row.dim in range(64, 4097)
    scores = [row.recall["recall@1"] or 0 for row in rows]
    assert scores == sorted(scores)


def test_a_row_is_what_the_paper_says() -> None:
    (row,) = [row for row in published("sop") if row.method == "Proxy-Anchor"]
    expected = {"recall@1": 0.792, "recall@10": 0.907, "recall@100": 0.962, "recall@1000": 0.986}
    assert row.recall == pytest.approx(expected)
    assert (row.year, row.network, row.dim, row.mark) == (2020, "B", 512, "V")
    unsaid = [row for row in published("inshop") if row.method == "Divide and conquer, improved"]
    assert [row.dim for row in unsaid] == [None]


def test_a_score_of_another_test_is_not_comparable() -> None:
    assert objections("cub", "leave-one-out", 5924, 5924) == []
    wrong = objections("cub", "query/gallery", 5924, 5923)
    assert "protocol is leave-one-out" in wrong[0] and "this is 5924 among 5923" in wrong[1]


def test_the_own_score_stands_in_its_place() -> None:
    report = EvalReport("leave-one-out", 9, 9, 3, 2, 1, {"recall@1": 0.7}, {}, "/m/mine", 0, published=published("sop"))
    rows = among(report)
    (place,) = [number for number, (_, own) in enumerate(rows) if own]
    assert rows[place][0].network == "mine"
    assert (rows[place - 1][0].recall["recall@1"] or 0) <= 0.7 <= (rows[place + 1][0].recall["recall@1"] or 0)
