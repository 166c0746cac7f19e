"""Scores of held-out photos: two models are compared on the searches that both were scored by, and on no others."""

import json
from pathlib import Path

import numpy as np
import pytest

from dmlcli import held_out_scores
from dmlcli.catalog import Item
from dmlcli.held_out_scores import ALL, METRICS, HeldOutSearch
from dmlcli.metrics import interval95


def search(name: str, mark: str, values: list[float | None], products: str = "aabbc") -> HeldOutSearch:
    return HeldOutSearch(name, mark, list(products), dict.fromkeys(METRICS, values))


def test_they_are_read_as_they_were_written_and_damaged_ones_are_none(tmp_path: Path) -> None:
    made = [search("seen", "0f", [0.0, 0.5, None, 1.0, 1.0])]
    held_out_scores.write(tmp_path, made)
    assert held_out_scores.read(tmp_path) == made
    file = tmp_path / "held_out.json"
    values = json.loads(file.read_text())
    values["searches"][0]["products"].pop()
    file.write_text(json.dumps(values))
    assert held_out_scores.read(tmp_path) == []
    file.write_text("{")
    assert held_out_scores.read(tmp_path) == [] == held_out_scores.read(tmp_path / "nowhere")
    held_out_scores.write(tmp_path / "none", [])
    assert not (tmp_path / "none").exists()


def test_only_searches_of_both_are_compared_query_by_query() -> None:
    first = [search("seen", "1", [1, 1, 0.5, None, 0]), search("unseen", "2", [1, 1, 1, 1, 1])]
    second = [search("unseen", "2", [0, 1, 1, 1, 1]), search("seen", "9", [0, 0, 0, 0, 0])]
    queries, products, rows = held_out_scores.compare(first, second)
    assert (queries, products) == (5, 3) and [(row.search, row.metric) for row in rows] == [
        ("unseen", "map@r"),
        ("unseen", "recall@1"),
    ]
    assert rows[0].first == 1 and rows[0].second == pytest.approx(0.8) and rows[0].difference == pytest.approx(0.2)
    gaps = np.array([1.0, 0, 0, 0, 0])
    assert rows[0].interval95 == interval95(gaps, list("aabbc")) and not rows[0].significant
    assert held_out_scores.compare(first, [])[2] == []


def test_several_searches_are_also_taken_together_and_a_query_without_an_image_does_not_count() -> None:
    first = [search("seen", "1", [1, 1, 0.5, None, 0]), search("unseen", "2", [1, 1, 1, 1, 1])]
    second = [search("seen", "1", [0, 0, 0, None, 0]), search("unseen", "2", [0, 0, 0, 0, 0])]
    _, _, rows = held_out_scores.compare(first, second)
    together = next(row for row in rows if (row.search, row.metric) == (ALL, "map@r"))
    assert together.difference == pytest.approx((2.5 + 5) / 9) and together.significant


def test_a_mark_depends_on_content_product_and_side() -> None:
    one, other = (Item("a.jpg", "mug"), "00"), (Item("b.jpg", "pan"), "01")
    known = held_out_scores.mark([one], [other])
    assert known == held_out_scores.mark([(Item("moved.jpg", "mug"), "00")], [other])
    others = [([other], [one]), ([one, other], []), ([(Item("a.jpg", "pan"), "00")], [other]), ([one], [one])]
    assert known not in [held_out_scores.mark(*sides) for sides in others]
