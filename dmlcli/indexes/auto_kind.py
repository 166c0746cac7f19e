"""Which kind of index suits these vectors: candidates are tried on a sample of them and compared with exact search.

A candidate's recall@10 is the share of an image's ten nearest others that its search finds, over images drawn from the
catalog. The sample holds these images, the nearest others of each, and others at random: of rows drawn alone, the
nearest would be unrelated images, which are harder to find. On it every candidate is built; what it needs of time and
memory is scaled to all rows, and of those that meet the requirements, the one whose building and first queries take the
least time is built in full and measured again, with other images. Times are the processor's and not the clock's: what
else the machine is busy with must not change the choice.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli import prefetch, progress
from dmlcli.errors import CannotRun
from dmlcli.indexes import faiss_kinds
from dmlcli.indexes.item_table import NO_IDS
from dmlcli.indexes.record import EXACT, KindCandidate, SearchCost
from dmlcli.indexes.searcher import Searcher
from dmlcli.types import Ids, Vectors

AUTO_FROM = 100_000  # images; with fewer, exact search is quick enough by itself
TARGET = 0.98  # default of --target-recall: recall of the ten nearest neighbors
_TRIAL = 50_000  # rows on which candidates are tried
_QUERIES, _nearEST = 400, 10
_TIMED = 50  # queries that are timed, one by one
_QUICK = 2_000  # microseconds; what exact search answers in this is not worth less
_ASKED = 100_000  # queries, whose time counts as much as that of building an index for them
_RESCORE_FACTORS = (2, 8, 32)  # factors of top-k: candidates that are scored again with exact vectors
_TIE = 1e-6
_SAME = 1e-4  # what a vector's product with itself may be below 1


@dataclass(frozen=True)
class IndexRequirements:
    """What an index is to be: of this kind (None: exact where that is quick by itself), this good, this small.

    Where it is to be `chosen`, kinds are measured however few rows there are.
    """

    kind: str | None = None
    recall: float = TARGET  # of the ten nearest, in (0, 1]
    memory: int | None = None  # bytes
    chosen: bool = False


class Filled(NamedTuple):
    """An index of all rows, with the processor's seconds that it took."""

    index: Any
    rows: Any  # the exact rows beside it, None where the kind keeps them
    trained: float
    added: float


@dataclass(frozen=True)
class Sample:
    """Rows to search with, and how near their ten nearest others are."""

    vectors: Vectors  # (N, D) all rows
    ids: Ids  # (N,)
    asking: Ids  # (Q,) rows that are searched with
    others: Ids  # (Q, n) rows of their nearest others
    tenth: NDArray[np.float32] = field(repr=False)  # (Q,) score of the last that should be found

    @property
    def nearest(self) -> int:
        """How many should be found."""
        return int(self.others.shape[1])

    @cached_property
    def _queries(self) -> Vectors:
        return np.ascontiguousarray(self.vectors[self.asking], dtype=np.float32)

    @cached_property
    def _order(self) -> Ids:
        return np.argsort(self.ids)

    def measure(self, searcher: Searcher, timed: bool = True) -> SearchCost:
        """Search with the sample, and compare with the truth; whatever is as near as the tenth is right."""
        _, found = searcher.search(self._queries, self.nearest + 1)
        rows = self._order[np.searchsorted(self.ids, found, sorter=self._order).clip(max=len(self.ids) - 1)]
        right = np.zeros(found.shape, np.bool_)
        itself = 0
        for query, (own, vector) in enumerate(zip(self.asking, self._queries, strict=True)):
            scores = self.vectors[rows[query]] @ vector
            right[query] = (scores >= self.tenth[query] - _TIE) & (found[query] >= 0) & (rows[query] != own)
            itself += bool(scores.max() > 1 - _SAME)
        # where there is but one row, nothing else was to be found, and nothing was missed
        recall = np.minimum(right.sum(axis=1), self.nearest) / self.nearest if self.nearest else np.ones(len(right))
        started = time.process_time()
        for vector in self._queries[:_TIMED] if timed else ():
            searcher.search(vector[None], max(self.nearest, 1))
        took = (time.process_time() - started) / min(_TIMED, len(self.asking))
        error = float(recall.std() / math.sqrt(len(recall)))
        return SearchCost(float(recall.mean()), error, itself / len(recall), took * 1e6)


def draw(vectors: Vectors, ids: Ids, seed: int = 0) -> Sample:
    """Draw rows to search with and find their nearest others by exact search.

    Args:
        vectors: (N, D), unit length.
        ids: (N,).
        seed: of the draw.
    """
    import faiss

    asking = np.sort(np.random.default_rng(seed).choice(len(vectors), min(_QUERIES, len(vectors)), replace=False))
    nearest = min(_nearEST, len(vectors) - 1)
    queries = np.ascontiguousarray(vectors[asking], dtype=np.float32)
    faiss_kinds.use_all_cores()
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    scores, found = faiss.knn(queries, rows, nearest + 1, metric=faiss.METRIC_INNER_PRODUCT)
    # of k + 1 one is the row itself, unless equal ones pushed it out: then it is the last that is one too many
    own = found == asking[:, None]
    own[~own.any(axis=1), -1] = True
    others, scores = (each[~own].reshape(len(asking), nearest) for each in (found, scores))
    tenth = scores[:, -1] if nearest else np.full(len(asking), -1, np.float32)
    return Sample(vectors, ids, asking, others, tenth)


def thin(sample: Sample) -> Sample:
    """A part of the rows to try candidates on, in which the same images have the same nearest others."""
    count = len(sample.vectors)
    drawn = np.random.default_rng(0).choice(count, min(_TRIAL, count), replace=False)
    kept = np.unique(np.concatenate([drawn, sample.asking, sample.others.ravel()]))
    vectors = np.ascontiguousarray(sample.vectors[kept], dtype=np.float32)
    asking, others = (np.searchsorted(kept, rows) for rows in (sample.asking, sample.others))
    return Sample(vectors, np.arange(len(kept)), asking, others, sample.tenth)


def fit(index: Any, rows: Any, sample: Sample, target: float, dead: Ids = NO_IDS) -> tuple[dict[str, int], SearchCost]:
    """Set the fastest search settings that reach the target significantly, or else the most accurate; return them.

    Args:
        index: the approximate index.
        rows: the exact vectors, if the index does not keep them.
        sample: queries with their true neighbors.
        target: recall in [0, 1].
        dead: ids that are deleted.
    """
    reached: list[tuple[dict[str, int], SearchCost]] = []
    best: tuple[dict[str, int], SearchCost] | None = None
    for factor in (0,) if faiss_kinds.scores_exactly(index) else _RESCORE_FACTORS:
        before = 0.0
        for setting in faiss_kinds.choices(index):
            faiss_kinds.tune(index, setting)
            searcher = Searcher(index, rows, factor, dead)
            found = sample.measure(searcher, timed=False)
            settings = setting | ({"again": factor} if factor else {})
            if best is None or found.recall > best[1].recall:
                best = settings, found
            if found.itself == 1 and (found.recall - found.error >= target or found.recall == 1):
                reached.append((settings, sample.measure(searcher)))
                break
            if before > 0.5 and found.itself == 1 and found.recall - before < 0.002:
                break  # more effort does not help; scoring more candidates again may
            before = found.recall
    assert best is not None
    settings, measured = min(reached, key=lambda pair: pair[1].microseconds) if reached else best
    faiss_kinds.tune(index, settings)
    if not reached:
        measured = sample.measure(Searcher(index, rows, settings.get("again", 0), dead))
    return settings, measured


def kinds(count: int, dim: int) -> list[str]:
    """Kinds worth trying for so many rows: exact, rounded, in cells, as a graph."""
    # four times the root, but no fewer rows in each than a mean can be taken of
    power = min(round(math.log2(4 * math.sqrt(count))), int(math.log2(max(2, count / 39))))
    cells = f"IVF{1 << power}"
    pieces = next((dim // length for length in (4, 5, 3, 6, 7, 8, 2) if dim % length == 0), 0)
    quantized = [f"{cells},PQ{pieces}"] if pieces else []  # in pieces of equal length, which a prime has not
    return ["SQfp16", "SQ8", f"{cells},Flat", f"{cells},SQ8", *quantized, f"{cells},RaBitQ", "HNSW32"]


def choose(vectors: Vectors, requirements: IndexRequirements) -> list[KindCandidate]:
    """What was tried, the best first; those that are no choice last, with the reason.

    Raises:
        CannotRun: no kind meets the requirements; the hint is the least memory with which one would.
    """
    count, dim = vectors.shape
    sample = thin(draw(vectors, np.arange(count), seed=1))
    exact = _checked(_measured(EXACT, EXACT, sample, count, requirements), requirements)
    if not exact.refused and exact.microseconds <= _QUICK:
        return [exact]
    candidates = [exact]
    pairs = list(zip(kinds(count, dim), kinds(len(sample.ids), dim), strict=True))
    for kind, small in progress.track(pairs, "trying kinds of index"):
        candidate = _checked(_measured(kind, small, sample, count, requirements), requirements)
        progress.note(
            f"{kind}: recall {candidate.recall:.3f}, {candidate.microseconds:,.0f} µs a query, "
            f"{candidate.memory / 1e6:,.0f} MB, {candidate.seconds:,.0f} s to build"
            f"{candidate.refused and ': ' + candidate.refused}"
        )
        candidates.append(candidate)
    fitting = [candidate for candidate in candidates if not candidate.refused]
    if not fitting:
        good = [candidate for candidate in candidates if candidate.recall >= requirements.recall]
        least = min(good, key=lambda candidate: candidate.memory)
        raise CannotRun(
            f"no index of {count} images at recall {requirements.recall} fits into "
            f"{_megabytes(requirements.memory or 0)}",
            hint=f"--max-memory {_megabytes(least.memory)} is the least that does ({least.kind})",
        )
    return sorted(candidates, key=lambda candidate: (bool(candidate.refused), cost(candidate)))


def why(chosen: KindCandidate, candidates: list[KindCandidate]) -> str:
    """Why one was chosen, in a sentence."""
    if len(candidates) == 1:
        return f"exact search takes {chosen.microseconds:,.0f} µs a query: nothing is gained by less"
    left_out = [f"{candidate.kind} ({candidate.refused})" for candidate in candidates if candidate.refused]
    more = f"; left out: {', '.join(left_out)}" if left_out else ""
    quickest = min(
        (candidate for candidate in candidates if not candidate.refused), key=lambda candidate: candidate.microseconds
    )
    if quickest is not chosen:
        more = (
            f"; {quickest.kind} would answer in {quickest.microseconds:,.0f} µs instead of {chosen.microseconds:,.0f}, "
            f"but takes {_time(quickest.seconds)} to build instead of {_time(chosen.seconds)}{more}"
        )
    kept = len(candidates) - len(left_out)
    return f"of {kept} kinds that keep the wish, the one built and asked {_ASKED:,} times the soonest{more}"


def _measured(kind: str, small: str, sample: Sample, count: int, requirements: IndexRequirements) -> KindCandidate:
    """Build a candidate on the sample, measure it, and scale that to all rows."""
    growth = count / len(sample.ids)
    made = make(small, sample.vectors, sample.ids)
    _, found = fit(made.index, made.rows, sample, requirements.recall)
    # a scan grows with the rows; with cells, their number and their length grow as the root; a graph hardly
    slower = 0.6 if kind.startswith("IVF") else 0.3 if kind.startswith("HNSW") else 1
    # as many rows for each cell, and each row held against all cells; a graph is searched for every row
    training = growth if kind.startswith("IVF") else 1
    adding = growth ** (1.5 if kind.startswith("IVF") else 1.2 if kind.startswith("HNSW") else 1)
    seconds = (made.trained * training + made.added * adding) / prefetch.cores()
    need = faiss_kinds.memory(faiss_kinds.create(kind, sample.vectors.shape[1]), count)
    return KindCandidate(kind, found.recall, found.microseconds * growth**slower, need, seconds)


def make(kind: str, vectors: Vectors, ids: Ids) -> Filled:
    """Return a filled index of a kind, and the exact vectors beside it if the kind does not keep them.

    Args:
        kind: a FAISS factory string.
        vectors: (N, D), unit length.
        ids: (N,).
    """
    faiss_kinds.use_all_cores()
    order = np.argsort(ids)
    if (order == np.arange(len(order))).all():
        ordered, sorted_ids = vectors, ids
    else:
        ordered, sorted_ids = vectors[order], ids[order]
    index, rows = faiss_kinds.create(kind, vectors.shape[1]), None
    started = time.process_time()
    faiss_kinds.train(index, ordered)
    trained = time.process_time()
    faiss_kinds.add(index, ordered, sorted_ids)
    if not faiss_kinds.keeps_rows(index):
        rows = faiss_kinds.create(faiss_kinds.ROWS, vectors.shape[1])
        faiss_kinds.add(rows, ordered, sorted_ids, "keeping rows")
    return Filled(index, rows, trained - started, time.process_time() - trained)


def in_order(requirements: IndexRequirements, vectors: Vectors) -> Iterator[tuple[str, str, list[KindCandidate]]]:
    """Kinds to build, best first, each with why, and what was tried."""
    if requirements.kind is not None:
        yield requirements.kind, "requested", []
        return
    if len(vectors) < AUTO_FROM and not requirements.chosen and requirements.memory is None:
        yield EXACT, f"exact search is quick below {AUTO_FROM:,} images", []
        return
    candidates = choose(vectors, requirements)
    for candidate in candidates:
        if not candidate.refused:
            yield candidate.kind, why(candidate, candidates), candidates


def cost(candidate: KindCandidate) -> float:
    """Seconds that it takes until it has answered as many queries as it is made for."""
    return candidate.seconds + _ASKED * candidate.microseconds / 1e6


def _checked(candidate: KindCandidate, requirements: IndexRequirements) -> KindCandidate:
    reason = ""
    if requirements.memory is not None and candidate.memory > requirements.memory:
        reason = f"needs {_megabytes(candidate.memory)}"
    elif candidate.recall < requirements.recall:
        reason = f"recall {candidate.recall:.3f}"
    return replace(candidate, refused=reason)


def _megabytes(count: int) -> str:
    return f"{max(1, math.ceil(count / 1e6))}M"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
