"""The expected calibration error and its diagram equal their definitions."""

from typing import Any

import numpy as np
import pytest

from dmlcli.evaluation.reliability import ReliabilityDiagram
from dmlcli.ranking import Groups, search
from dmlcli.search.confidence import AnswerModel, summary

MODEL = AnswerModel(0.5, 10.0, [0.0] * 5, [], [], 0, 0)


def test_the_error_is_that_of_plain_loops() -> None:
    rng = np.random.default_rng(0)
    gallery: Any = rng.normal(size=(90, 6)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    names = [f"p{number % 12}" for number in range(90)]
    asked = [*names[:40], "nobody"]
    queries = np.concatenate([gallery[:40] + np.float32(0.5) * gallery[40:80], gallery[:1]])
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    diagram = ReliabilityDiagram(MODEL, names)
    for one in search(queries, gallery, Groups(asked, names)):
        diagram.observe(one)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for query, product in zip(queries[:40], asked[:40], strict=True):
        cosines = gallery @ query
        products = sorted(set(names))
        scores = np.array([summary(cosines[[own == name for own in names]]) for name in products])
        confidences = MODEL.confidences(scores)
        sure = float(confidences.max())
        bins.setdefault(int(sure * 10), []).append((sure, products[int(confidences.argmax())] == product))
    found = diagram.result()
    assert found is not None and sum(shown.queries for shown in found.bins) == 40 and len(found.bins) == len(bins) > 2
    gaps = {number: abs(np.mean([sure - good for sure, good in rows])) for number, rows in bins.items()}
    error = sum(len(bins[number]) * gap for number, gap in gaps.items()) / 40
    assert found.expected_calibration_error == pytest.approx(error, abs=1e-5)
    for shown in found.bins:
        rows = bins[round(10 * shown.low)]
        assert shown.right == pytest.approx(np.mean([good for _, good in rows]))
        assert shown.confidence == pytest.approx(np.mean([sure for sure, _ in rows]), abs=1e-5)


def test_without_queries_there_is_no_error() -> None:
    assert ReliabilityDiagram(MODEL, ["a"]).result() is None
