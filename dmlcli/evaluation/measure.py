"""Search, metrics of each query, means, and warnings for one evaluation."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmlcli.catalog import Item
from dmlcli.errors import EmbeddingsError, UsageError
from dmlcli.evaluation import ranked_lists as ranked_lists
from dmlcli.evaluation.leakage import LeakageDetector
from dmlcli.evaluation.min_scores import MetricSelection
from dmlcli.evaluation.protocol import exclusion
from dmlcli.evaluation.query_results import Floats, QueryResults, evaluate_queries
from dmlcli.evaluation.reliability import ReliabilityDiagram
from dmlcli.evaluation.reranked import Reranker, Reranking, seconds_a_query
from dmlcli.metrics import clusters, confidence, consistency, geometry
from dmlcli.metrics import ranked as of_ranks
from dmlcli.ranking import block_rows
from dmlcli.report.eval import Inflation, Reliability
from dmlcli.search.confidence import AnswerModel
from dmlcli.search.rerank import Rerank
from dmlcli.types import Ranks, Rows, Scores

_ALIKE = 1e-4  # largest difference in any coordinate between embeddings that have collapsed
_TIED = 0.001  # difference of Recall@1 from which ties are reported
_PER_QUERY = 1500  # bytes that are kept of each query: its ranks and closest images


@dataclass(frozen=True)
class EvalSide:
    """Queries or gallery: what each row shows, and its unit vector where there are vectors (N, D)."""

    root: Path
    items: list[Item]
    vectors: Scores | None = None
    model: str = ""  # fingerprint of what made the vectors

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of names, products and vectors."""
        digest = hashlib.blake2b(digest_size=8)
        for item in self.items:
            digest.update("\0".join(item[:5]).encode("utf-8", "surrogateescape"))
        if self.vectors is not None:
            digest.update(np.ascontiguousarray(self.vectors).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class EvalSides:
    """Queries and gallery of a protocol. Every query has a product; `unknown` queries had none and are left out."""

    protocol: str
    scope: str
    queries: EvalSide
    gallery: EvalSide
    own_rows: Rows | None  # (Q,) the gallery row of each query itself
    includes_training: bool = False
    unknown: int = 0
    same: str | None = None  # what else a query may not find
    query_catalogs: Sequence[str] = ()  # (Q,) of several catalogs, the one that each query is from
    gallery_catalogs: Sequence[str] = ()  # (G,) likewise

    @property
    def findable(self) -> int:
        """How many images a query can find at all."""
        return len(self.gallery.items) - (self.own_rows is not None)


@dataclass(frozen=True)
class Evaluation:
    """Scores of each query (Q,), the closest images, and the means."""

    results: QueryResults
    values: dict[str, Floats]
    metrics: dict[str, float | None]
    inflation: Inflation | None
    warnings: list[str]
    reranked: list[Reranking]
    reliability: Reliability | None = None


def measure(
    sides: EvalSides,
    selection: MetricSelection,
    seed: int,
    missing_as_zero: bool,
    lists: ranked_lists.Lists | None = None,
    ways: Sequence[Rerank] = (),
    answers: AnswerModel | None = None,
) -> Evaluation:
    """Search, or use the given ranked lists, and score the results.

    Args:
        sides: the queries and gallery.
        selection: the metrics.
        seed: seed of random draws (k-means, CMC single-shot).
        missing_as_zero: score queries without a relevant image as 0 instead of leaving them out.
        lists: ranked lists of another tool; None: search.
        ways: re-ranking methods, each applied to the first hits of every query.
        answers: the probabilities of the gallery's model, and what it ranks products by; None: by their best image.
    """
    depth, watch, reranker, diagram = None, None, None, None
    if lists is None:
        reranker = Reranker(ways, vectors_of(sides.queries), vectors_of(sides.gallery)) if ways else None
        diagram = ReliabilityDiagram(answers, [item.product for item in sides.gallery.items]) if answers else None
        results, watch = _search(sides, selection, seed, reranker, diagram)
        warnings = _shape_warnings(vectors_of(sides.gallery))
    else:
        results, depth, warnings = _from_lists(sides, selection, lists)
    scores = of_ranks.score(results.rankings, selection.ranked, largest=sides.findable, depth=depth) | results.extra
    missing = _missing(results.rankings)
    values = {name: scores.get(name, np.full(len(missing), np.nan)) for name in selection.by_query}
    if missing_as_zero:
        values = _with_zeros(values, missing)
    metrics = confidence.means(values, results.products)
    metrics |= {name: _of_pairs(results, name) for name in selection.pairs}
    for name in selection.geometry:
        metrics[name] = geometry.components_fraction(vectors_of(sides.gallery), geometry.explained(name) or 0.0)
    if selection.clusters:
        found = clusters.k_means(vectors_of(sides.queries), len(set(results.products)), seed)
        metrics |= clusters.agreement(results.products, found)
    notes = [*warnings, *_tie_warnings(results, missing)]
    ordered = {name: metrics[name] for name in selection.order}
    inflation = watch.evidence() if watch else None
    reliability = diagram.result() if diagram else None
    return Evaluation(results, values, ordered, inflation, notes, reranker.made if reranker else [], reliability)


def _of_pairs(results: QueryResults, name: str) -> float | None:
    if name in consistency.NAMES:
        return results.consistency.value() if results.consistency else None
    return results.pairs.value(name) if results.pairs else None


def values_of(
    rankings: Sequence[Ranks], names: Sequence[str], sides: EvalSides, missing_as_zero: bool
) -> dict[str, Floats]:
    """Return the values (Q,) of each metric.

    Args:
        rankings: of each query, the ranks of its relevant images.
        names: the metrics.
        sides: the queries and gallery.
        missing_as_zero: score queries without a relevant image as 0 instead of NaN.
    """
    values = of_ranks.score(rankings, names, largest=sides.findable)
    return _with_zeros(values, _missing(rankings)) if missing_as_zero else values


def _missing(rankings: Sequence[Ranks]) -> NDArray[np.bool_]:
    """Return whether each query (Q,) has no relevant image."""
    return np.array([len(ranks) == 0 for ranks in rankings], dtype=np.bool_)


def _with_zeros(values: Mapping[str, Floats], missing: NDArray[np.bool_]) -> dict[str, Floats]:
    """Return the metrics with 0 for queries without a relevant image."""
    return {
        name: one if np.isnan(one).all() else np.where(missing & np.isnan(one), 0.0, one)
        for name, one in values.items()
    }


def _search(
    sides: EvalSides,
    selection: MetricSelection,
    seed: int,
    reranker: Reranker | None,
    diagram: ReliabilityDiagram | None,
) -> tuple[QueryResults, LeakageDetector | None]:
    if selection.single_shot and sides.same == "session":
        raise UsageError("cmc_single_shot only works with --exclude-same camera", hint="remove one of them")
    queries, gallery = sides.queries, sides.gallery
    watch = (
        LeakageDetector(gallery.items, sides.own_rows) if sides.own_rows is not None and sides.same is None else None
    )
    results = evaluate_queries(
        vectors_of(queries),
        vectors_of(gallery),
        queries.items,
        gallery.items,
        own_rows=sides.own_rows,
        excluded=exclusion(queries.items, gallery.items, None, sides.same),
        product_recall=selection.products,
        product_weight=diagram.product_weight if diagram else 0.0,
        single_shot=selection.single_shot,
        pairs=any(name not in consistency.NAMES for name in selection.pairs),
        consistency=any(name in consistency.NAMES for name in selection.pairs),
        watch=watch.observe if watch else lambda _: None,
        observe=[one.observe for one in (reranker, diagram) if one],
        seed=seed,
    )
    return results, watch


def _from_lists(
    sides: EvalSides, selection: MetricSelection, lists: ranked_lists.Lists
) -> tuple[QueryResults, int, list[str]]:
    unsupported = [name for name in selection.order if name not in selection.ranked]
    if unsupported:
        known = ", ".join(of_ranks.KNOWN)
        raise UsageError(f"{', '.join(unsupported)} cannot be computed from ranked lists", hint=f"known: {known}")
    queries, gallery = sides.queries, sides.gallery
    excluded = exclusion(queries.items, gallery.items, sides.own_rows, sides.same)
    return ranked_lists.evaluate_lists(lists, queries.items, gallery.items, (queries.root, gallery.root), excluded)


def vectors_of(side: EvalSide) -> Scores:
    """Return the vectors (N, D) of a side; raises EmbeddingsError where there are none."""
    if side.vectors is None:
        raise EmbeddingsError(f"the images of {side.root} have no embeddings", hint="dmlcli embed CATALOG")
    return side.vectors


def plan(queries: int, gallery: int, dim: int, ways: Sequence[Rerank] = (), *, apart: bool) -> tuple[int, float]:
    """Estimate the memory in bytes and the time in seconds of a search.

    Args:
        queries: number of queries.
        gallery: number of gallery images.
        dim: dimensions of the vectors.
        ways: re-ranking methods.
        apart: whether queries and gallery are different arrays.
    """
    again = queries * seconds_a_query(ways, gallery, dim) if ways else 0.0
    rows = gallery + (queries if apart else gallery)  # leave-one-out searches in a sorted copy
    block = min(block_rows(gallery), queries) * gallery * 4
    return 4 * dim * rows + block + _PER_QUERY * queries + gallery * 24, 2e-11 * queries * gallery * dim + again


def _shape_warnings(vectors: Scores) -> list[str]:
    notes = []
    if zeros := int((~vectors.any(axis=1)).sum()):
        notes.append(f"{zeros} embeddings of the gallery are zero vectors, which are ranked last")
    if len(vectors) > 1 and np.ptp(vectors, axis=0).max() < _ALIKE:
        notes.append("all embeddings are equal (collapse), so every score is 0")
    return notes


def _tie_warnings(results: QueryResults, missing: NDArray[np.bool_]) -> list[str]:
    """Return a warning if ties change Recall@1."""
    if missing.all():
        return []
    least, most = float(results.relevant_at_1[~missing].mean()), float(results.optimistic[~missing].mean())
    if most - least <= _TIED:
        return []
    return [
        f"ties: relevant and irrelevant images are equally close, so Recall@1 is between {100 * least:.1f} and "
        f"{100 * most:.1f} %; the lower value is reported"
    ]
