"""Where the search fails: by product and category, the worst queries, confused pairs, scores and thresholds."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.catalog import Item
from dmlcli.evaluation.query_results import Floats, QueryResults
from dmlcli.metrics import ranked
from dmlcli.report.error_analysis import Confusion, GroupScore, Histogram, Insight, Miss, Threshold
from dmlcli.report.query import Hit, Part

_BINS = 40
_ACCEPTS = (0.01, 0.05, 0.1)  # false accept rates for which a threshold is shown
MISSES, _HITS, _CONFUSIONS = 24, 5, 30
Closest = Callable[[int, int], list[tuple[int, float]]]  # query, count -> gallery rows with their similarity


def insight(
    results: QueryResults,
    query_items: Sequence[Item],
    gallery_items: Sequence[Item],
    roots: tuple[Path, Path],
    closest: Closest,
    shape: dict[str, float | int | None],
) -> Insight:
    """Return the error analysis of one search.

    Args:
        results: the results of all queries.
        query_items, gallery_items: the items of queries and gallery.
        roots: the folders that the paths of queries and gallery are relative to.
        closest: returns the best hits of one query; called for the worst queries only.
        shape: the geometry of the embeddings, by name.
    """
    top, valid = results.relevant_at_1, np.array([len(ranks) > 0 for ranks in results.rankings], dtype=np.bool_)
    precision = ranked.score(results.rankings, ("map@r",))["map@r"]
    mistakes = _mistakes(results, query_items, gallery_items, roots, valid & ~top)
    sizes = Counter(item.product for item, counts in zip(query_items, valid, strict=True) if counts)
    often = sorted(mistakes.items(), key=lambda pair: (-pair[1].times, pair[0]))
    return Insight(
        products=_groups([item.product for item in query_items], valid, top, precision, mistakes),
        categories=_groups([item.category for item in query_items], valid, top, precision, {}),
        misses=_misses(results, query_items, gallery_items, roots, closest, valid & ~top),
        confusions=tuple(
            Confusion(product, other, one.times, sizes[product], *one[1:])
            for (product, other), one in often[:_CONFUSIONS]
        ),
        histogram=_histogram(results),
        thresholds=_thresholds(results, valid, top),
        shape=shape,
    )


class _Mistake(NamedTuple):
    """One product confused with another: how often, and the most confident case."""

    times: int
    image: str = ""
    confused_image: str = ""
    box: Part = None
    confused_box: Part = None


def _mistakes(
    results: QueryResults,
    query_items: Sequence[Item],
    gallery_items: Sequence[Item],
    roots: tuple[Path, Path],
    missed: NDArray[np.bool_],
) -> dict[tuple[str, str], _Mistake]:
    queries = defaultdict(list)
    for query in np.flatnonzero(missed & (results.wrong_row >= 0)).tolist():
        queries[query_items[query].product, gallery_items[results.wrong_row[query]].product].append(query)
    found = {}
    for pair, members in queries.items():
        worst = max(members, key=lambda query: results.wrong[query])
        item, other = query_items[worst], gallery_items[results.wrong_row[worst]]
        paths = str(roots[0] / item.path), str(roots[1] / other.path)
        found[pair] = _Mistake(len(members), *paths, item.box, other.box)
    return found


def _groups(
    names: Sequence[str],
    valid: NDArray[np.bool_],
    top: NDArray[np.bool_],
    precision: Floats,
    mistakes: dict[tuple[str, str], _Mistake],
) -> tuple[GroupScore, ...]:
    """Return the scores of each product or category, the worst first."""
    rows = defaultdict(list)
    for query in np.flatnonzero(valid).tolist():
        if names[query]:
            rows[names[query]].append(query)
    worst: dict[str, tuple[str, _Mistake]] = {}
    for (name, other), mistake in sorted(mistakes.items()):
        if name not in worst or mistake.times > worst[name][1].times:
            worst[name] = other, mistake
    scores = []
    for name, queries in rows.items():
        values = precision[queries][~np.isnan(precision[queries])]
        depth = float(values.mean()) if len(values) else None
        other, mistake = worst.get(name, ("", _Mistake(0)))
        scores.append(GroupScore(name, len(queries), float(top[queries].mean()), depth, other, *mistake))
    return tuple(sorted(scores, key=lambda score: (score.recall_at_1, score.map_at_r or 0, score.name)))


def _misses(
    results: QueryResults,
    query_items: Sequence[Item],
    gallery_items: Sequence[Item],
    roots: tuple[Path, Path],
    closest: Closest,
    missed: NDArray[np.bool_],
) -> tuple[Miss, ...]:
    """Return the worst queries, at most three per product: the most confident errors."""
    short = results.wrong - results.right
    shown: Counter[str] = Counter()
    misses: list[Miss] = []
    for query in sorted(np.flatnonzero(missed).tolist(), key=lambda query: float(-short[query])):
        item = query_items[query]
        if shown[item.product] == 3 or len(misses) == MISSES:
            continue
        shown[item.product] += 1
        hits = tuple(
            Hit(
                place,
                score,
                gallery_items[row].product,
                str(roots[1] / gallery_items[row].path),
                box=gallery_items[row].box,
            )
            for place, (row, score) in enumerate(closest(query, _HITS), start=1)
        )
        first = results.rankings[query][0]
        misses.append(
            Miss(str(roots[0] / item.path), item.product, int(min(first, len(gallery_items))), hits, item.box)
        )
    return tuple(misses)


def _histogram(results: QueryResults) -> Histogram | None:
    right, wrong = results.right[~np.isnan(results.right)], results.wrong[~np.isnan(results.wrong)]
    if not len(right) or not len(wrong):
        return None
    low = float(np.floor(10 * min(right.min(), wrong.min())) / 10)
    high = 1.0 if max(right.max(), wrong.max()) <= 1.001 else float(max(right.max(), wrong.max()))
    counts = [np.histogram(np.clip(scores, low, high), _BINS, (low, high))[0].tolist() for scores in (right, wrong)]
    return Histogram(low, high, tuple(counts[0]), tuple(counts[1]))


def _thresholds(results: QueryResults, valid: NDArray[np.bool_], top: NDArray[np.bool_]) -> tuple[Threshold, ...]:
    """Return accept rates by threshold; the closest wrong image simulates the best hit of an unknown product."""
    unknown = np.sort(results.wrong[~np.isnan(results.wrong)])
    if not len(unknown) or not valid.any():
        return ()
    first = np.fmax(results.right, results.wrong)[valid]
    found = []
    for rate in _ACCEPTS:
        place = min(int(np.ceil((1 - rate) * len(unknown))), len(unknown) - 1)
        score = float(np.nextafter(np.float32(unknown[place]), np.float32(2))) if place else float(unknown[0])
        accepted = float((unknown >= score).mean())
        answered = first >= score
        found.append(Threshold(score, accepted, float(answered.mean()), float((answered & top[valid]).mean())))
    return tuple(found)
