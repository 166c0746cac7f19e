"""Other people's evaluators agree where their definitions do, on random cases of every awkward kind.

torchreid is not among the test libraries (it pulls in half of a laboratory); its Market-1501 evaluator is read from its
file where it is installed, and its published rule stands here in plain loops in any case.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from dmlcli import metrics
from dmlcli.catalog import Item
from dmlcli.evaluation.protocol import exclusion
from dmlcli.evaluation.query_results import evaluate_queries
from dmlcli.ranking import TIE, rankings

NAMES = ("recall@1", "recall@2", "recall@7", "map@r", "r_precision", "map", "mrr")
Floats = NDArray[np.float32]


class Case(NamedTuple):
    """Unit vectors with labels; the first `queries` of them may serve as queries of their own."""

    vectors: Floats
    labels: NDArray[np.int64]
    cameras: NDArray[np.int64]
    queries: int


def case(seed: int, *, tied: bool = False) -> Case:
    """Small or lopsided, with lone queries, copies, one class only; ties by few directions, if they are wanted."""
    rng = np.random.default_rng(seed)
    count, dim = int(rng.integers(4, 40)), int(rng.integers(2, 6))
    vectors = rng.normal(size=(count, dim))
    if tied:
        vectors = np.sign(vectors)  # a handful of corners, each with many images
    elif seed % 5 == 1:
        copies = rng.integers(0, count, count // 3)
        vectors[: len(copies)] = vectors[copies] + 1e-3 * rng.normal(size=(len(copies), dim))
    labels = rng.integers(0, 1 if seed % 17 == 3 else rng.integers(2, 12), count)
    if seed % 3 == 0:
        labels[: min(3, count)] = [100, 101, 102][: min(3, count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cameras = rng.integers(0, 3, count)
    return Case(vectors.astype(np.float32), labels, cameras, int(rng.integers(1, count - 1)))


def clear(scores: Floats) -> bool:
    """Whether no two similarities are so close that another's rounding could turn them round."""
    ordered = np.sort(scores, axis=1)
    return bool((np.diff(ordered, axis=1) > 4 * TIE).all())


def plain(scores: Floats, right: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> dict[str, float] | None:
    """The definitions in plain loops over one query's list, wrong before right where they tie."""
    rows = [row for row in range(len(scores)) if candidate[row]]
    lowered = {row: float(scores[row]) - (float(TIE) if right[row] else 0.0) for row in rows}
    listed = [bool(right[row]) for row in sorted(rows, key=lambda row: (-lowered[row], right[row]))]
    relevant = sum(listed)
    if not relevant:
        return None
    found = {f"recall@{k}": float(any(listed[:k])) for k in (1, 2, 7)}
    precisions = [sum(listed[: place + 1]) / (place + 1) for place in range(len(listed))]
    found["map@r"] = sum(p for p, hit in list(zip(precisions, listed, strict=True))[:relevant] if hit) / relevant
    found["r_precision"] = sum(listed[:relevant]) / relevant
    found["map"] = sum(p for p, hit in zip(precisions, listed, strict=True) if hit) / relevant
    found["mrr"] = 1 / (listed.index(True) + 1)
    return found


def ours(one: Case, *, alone: bool) -> dict[str, float | None]:
    names = [str(label) for label in one.labels]
    if alone:
        found = rankings(one.vectors, one.vectors, names, names, own_rows=np.arange(len(names)))
    else:
        cut = one.queries
        found = rankings(one.vectors[:cut], one.vectors[cut:], names[:cut], names[cut:])
    return {name: metrics.mean(values) for name, values in metrics.score(found, NAMES).items()}


def loops(one: Case, *, alone: bool) -> dict[str, float | None]:
    cut = 0 if alone else one.queries
    asked = range(len(one.labels)) if alone else range(cut)
    gallery = one.vectors[cut:]
    found = []
    for query in asked:
        candidate = np.ones(len(gallery), dtype=np.bool_)
        if alone:
            candidate[query] = False
        report = plain(gallery @ one.vectors[query], one.labels[cut:] == one.labels[query], candidate)
        found += [report] if report else []
    return {name: float(np.mean([report[name] for report in found])) if found else None for name in NAMES}


def agree(mine: dict[str, float | None], other: dict[str, float | None]) -> None:
    for name, value in other.items():
        assert mine[name] == pytest.approx(value, abs=1e-6), name


def check_loops(seeds: range) -> None:
    for seed in seeds:
        for alone in (True, False):
            one = case(seed, tied=seed % 2 == 0)
            agree(ours(one, alone=alone), loops(one, alone=alone))


def check_calculator(seeds: range) -> int:
    """pytorch-metric-learning on every case without ties (it breaks them by row, we against the search)."""
    pytest.importorskip("pytorch_metric_learning", reason="pytorch-metric-learning is not installed")
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    theirs = {
        "precision_at_1": "recall@1",
        "r_precision": "r_precision",
        "mean_average_precision_at_r": "map@r",
        "mean_average_precision": "map",
        "mean_reciprocal_rank": "mrr",
    }
    calculator = AccuracyCalculator(include=tuple(theirs), k=None, device=torch.device("cpu"))
    compared = 0
    for seed in seeds:
        one = case(seed)
        if not clear(one.vectors @ one.vectors.T):
            continue
        rows, labels, cut = torch.from_numpy(one.vectors), torch.from_numpy(one.labels), one.queries
        for alone, arguments in ((True, (rows, labels)), (False, (rows[:cut], labels[:cut], rows[cut:], labels[cut:]))):
            report = calculator.get_accuracy(*arguments)
            expected = {mine: None if np.isnan(report[name]) else report[name] for name, mine in theirs.items()}
            agree(ours(one, alone=alone), expected)
            compared += 1
    return compared


def check_market(seeds: range, evaluate: Any, most: int = 2) -> int:
    """The Market-1501 rule: images of the query's own label and camera are not there."""
    compared = 0
    for seed in seeds:
        one = case(seed)
        cut = one.queries
        scores = one.vectors[:cut] @ one.vectors[cut:].T
        if not clear(scores):
            continue
        items = [Item(str(row), str(one.labels[row]), source=str(one.cameras[row])) for row in range(len(one.labels))]
        asked, gallery_items = items[:cut], items[cut:]
        excluded = exclusion(asked, gallery_items, None, "camera")
        results = evaluate_queries(one.vectors[:cut], one.vectors[cut:], asked, gallery_items, excluded=excluded)
        values = metrics.score(results.rankings, ("cmc@1", "cmc@2", "map"))
        expected = evaluate(
            1 - scores,
            one.labels[:cut],
            one.labels[cut:],
            one.cameras[:cut],
            one.cameras[cut:],
            min(most, len(gallery_items)),
        )
        if expected is None:
            assert metrics.mean(values["map"]) is None
            continue
        cmc, precision = expected
        assert metrics.mean(values["map"]) == pytest.approx(precision, abs=1e-6)
        for k, value in enumerate(cmc, start=1):
            assert metrics.mean(values[f"cmc@{k}"]) == pytest.approx(value, abs=1e-6)
        compared += 1
    return compared


def market(
    distances: Floats, asked: Any, gallery_items: Any, own: Any, cameras: Any, most: int
) -> tuple[list[float], float] | None:
    """The published rule in plain loops: Zheng et al., Scalable Person Re-identification, ICCV 2015."""
    curves, precisions = [], []
    for query in range(len(asked)):
        kept = [
            row
            for row in np.argsort(distances[query])
            if gallery_items[row] != asked[query] or cameras[row] != own[query]
        ]
        hits = [gallery_items[row] == asked[query] for row in kept]
        if not any(hits):
            continue
        first = hits.index(True)
        curves.append([float(first < k) for k in range(1, most + 1)])
        places = [place for place, hit in enumerate(hits, start=1) if hit]
        precisions.append(sum(number / place for number, place in enumerate(places, start=1)) / len(places))
    return (list(np.mean(curves, axis=0)), float(np.mean(precisions))) if curves else None


def torchreids() -> Any:
    """`eval_market1501` of torchreid, from its file: importing the package asks for much that nobody needs here."""
    found = importlib.util.find_spec("torchreid")
    if found is None or not found.submodule_search_locations:
        pytest.skip("torchreid is not installed")
    file = Path(found.submodule_search_locations[0]) / "reid" / "metrics" / "rank.py"
    spec = importlib.util.spec_from_file_location("torchreid_rank", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("torchreid.reid.metrics.rank_cylib.rank_cy", None)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="Cython"):
        spec.loader.exec_module(module)

    def evaluate(*arguments: Any) -> Any:
        try:
            return module.eval_market1501(*arguments)
        except AssertionError:  # its way to say that no query has an answer
            return None

    return evaluate


def test_plain_loops_agree() -> None:
    check_loops(range(60))


def test_pytorch_metric_learning_agrees() -> None:
    assert check_calculator(range(40)) > 40


def test_the_market_rule_in_plain_loops_agrees() -> None:
    assert check_market(range(60), market) > 20


def test_torchreid_agrees() -> None:
    assert check_market(range(60), torchreids(), most=1) > 20  # it needs lists of one length


@pytest.mark.slow
def test_a_thousand_cases_agree_with_plain_loops() -> None:
    check_loops(range(1000))


@pytest.mark.slow
def test_a_thousand_cases_agree_with_others() -> None:
    assert check_calculator(range(1000)) > 1000
    assert check_market(range(1000), market) > 500


@pytest.mark.slow
def test_a_thousand_cases_agree_with_torchreid() -> None:
    assert check_market(range(1000), torchreids(), most=1) > 500
