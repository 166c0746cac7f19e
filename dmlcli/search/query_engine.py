"""The query pipeline: encode, fuse, search, re-rank, apply the threshold, group by product."""

import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmlcli.errors import ImageError, IndexFileError
from dmlcli.indexes.gallery import Among, Gallery, ItemTable
from dmlcli.product_score import COMPARED
from dmlcli.report.query import Answer, Hit, Picture, Stage
from dmlcli.report.skipped import Skipped
from dmlcli.search import crop_choice
from dmlcli.search.confidence import AnswerModel, probability, summary
from dmlcli.search.crop_choice import Recognized
from dmlcli.search.encoding import Encode, Encoded
from dmlcli.search.feedback import Move, moved
from dmlcli.search.product_grouping import LISTED, ImageCandidate, Pool, compared, fold, key, listed, spell, unit_mean
from dmlcli.search.query_inputs import QueryInput
from dmlcli.types import Box, Scores, Vectors

if TYPE_CHECKING:
    from dmlcli.search.cropping import Crop, CropMode
    from dmlcli.search.rerank import Rerank


class QueryPlan(NamedTuple):
    """The settings for all queries of one command, one field for each option that changes an answer."""

    top_k: int
    min_score: float | None = None  # images with a lower cosine are no hits, and no score of a product counts them
    among: Among | None = None  # what --where left
    rerank: "Rerank | None" = None
    pool: Pool | None = None  # None: hits are images, not products
    fuse: bool = False  # whether all that is asked shows one thing
    explain: bool = False
    columns: Collection[str] | None = None  # of the catalog's own, those that hits have; None: all
    answers: AnswerModel | None = None  # the probabilities of answers; None: none are computed
    min_match: float | None = None  # answers with a lower probability have no hits
    min_confidence: float | None = None  # hits with a lower probability are left out
    crop: "CropMode | None" = None  # how the part of a photo is chosen that is searched with
    without: frozenset[int] = frozenset()  # ids of images that are no hits, and that no score of a product counts


class _Query(NamedTuple):
    """One vector (D,) to search with, under its name, with the photos it was made of."""

    name: str
    vector: Vectors
    photos: tuple[Picture | bytes, ...]
    stages: tuple[Stage, ...]
    crops: "tuple[Crop, ...]" = ()  # parts of the photo that may be searched with instead
    box: Box | None = None  # the part that it was made of; None: all of the photo
    found: "list[ImageCandidate] | None" = None  # by a search with this vector, where there was one


class QueryEngine:
    """Answers queries of one index by one plan."""

    def __init__(self, index: Gallery, items: ItemTable, plan: QueryPlan, encode: Encode) -> None:
        self._index, self._items, self._plan, self._encode = index, items, plan, encode

    def answers(
        self, asked: Iterable[QueryInput], moves: Sequence[Move], skipped: list[Skipped] | None
    ) -> Iterator[Answer]:
        """Yield the answers, each as soon as it is computed.

        Args:
            asked: the queries.
            moves: what the queries move towards or away from.
            skipped: receives photos that cannot be read; None: such a photo raises an error.
        """
        return self.answers_to(self._encode(asked), moves, skipped)

    def answers_to(
        self, encoded: Iterable[Encoded], moves: Sequence[Move], skipped: list[Skipped] | None
    ) -> Iterator[Answer]:
        """Yield the answers to queries that are encoded already, each as soon as it is computed.

        Args:
            encoded: the queries.
            moves: what the queries move towards or away from.
            skipped: receives photos that could not be read; None: such a photo raises an error.
        """
        targets = [one.vector for one in self._queries(self._encode([move.target for move in moves]), None)]
        queries = self._cropped(self._queries(encoded, skipped))
        for query in _fused(list(queries)) if self._plan.fuse else queries:
            if not moves:
                yield self._answer(query, self._plan.answers)
            else:  # probabilities are fitted to photos, not to what has moved away from one
                vector = moved(query.vector, np.stack(targets), [move.weight for move in moves])
                yield self._answer(query._replace(vector=vector, found=None), None)

    def _queries(self, encoded: Iterable[Encoded], skipped: list[Skipped] | None) -> Iterator[_Query]:
        for done in encoded:
            source, failure = done.source, done.failure
            if done.vector is not None:
                stages = done.stages if self._plan.explain else ()
                yield _Query(source.name, done.vector, source.photos, stages, done.crops)
            elif failure is not None and skipped is None:
                raise ImageError(
                    f"{'stdin' if source.name == '-' else source.name}: {failure}", hint=failure.hint
                ) from failure
            elif skipped is not None:
                skipped.append(Skipped(source.name, str(failure)))

    def _cropped(self, queries: Iterable[_Query]) -> Iterator[_Query]:
        """Yield each query with the part of its photo that is found best; with --crop each, several of its parts."""
        for query in queries:
            if not query.crops:
                yield query
                continue
            since = time.perf_counter()
            parts = [query, *(query._replace(vector=crop.vector, box=crop.box) for crop in query.crops)]
            parts = [part._replace(found=self._search(part.vector)) for part in parts]
            found = [self._recognized(part) for part in parts]
            if self._plan.crop == "each":
                chosen = crop_choice.each(found)
            else:
                chosen = [crop_choice.best(found, calibrated=self._plan.answers is not None)]
            stage = Stage("choose the crop", len(chosen), time.perf_counter() - since)
            stages = (*query.stages, *([stage] if self._plan.explain else ()))
            yield from (parts[place]._replace(stages=stages, crops=()) for place in chosen)

    def _recognized(self, query: _Query) -> Recognized:
        """Return how sure the best product is among what a query found."""
        found, model = query.found, self._plan.answers
        if not found:
            return Recognized(None, -math.inf)
        if model is None:
            return Recognized(key(found[0]), found[0].cosine)
        known = compared(found, partial(self._cosines, query.vector, {}))
        scores = np.array([summary(cosines) for cosines in known.values()])
        return Recognized(list(known)[int(model.scores(scores).argmax())], model.log_odds(scores))

    def _answer(self, query: _Query, model: AnswerModel | None) -> Answer:
        plan, stages, since = self._plan, list(query.stages), time.perf_counter()

        def lap(name: str, left: int) -> None:
            nonlocal since
            now = time.perf_counter()
            stages.append(Stage(name, left, now - since))
            since = now

        found = self._search(query.vector) if query.found is None else query.found
        closest = found[0].cosine if found else None
        lap(f"search {'all' if plan.among is None else len(plan.among)} ({self._index.kind})", len(found))
        cosines_of = partial(self._cosines, query.vector, {})
        confidences, match = _probabilities(found, cosines_of, model)
        if model is not None:
            lap("compute probabilities", len(found))
        if plan.min_match is not None and (match is None or match < plan.min_match):
            found = []
        if plan.rerank is not None and found:
            found = self._reranked(query.vector, found, plan.rerank)
            lap(f"re-rank by {plan.rerank.name}", len(found))
        if plan.min_score is not None:
            found = [one for one in found if one.cosine >= plan.min_score]
            lap(f"remove hits below {plan.min_score:.3f}", len(found))
        if plan.pool is not None:
            found = fold(found, plan.pool, cosines_of)
            lap(f"group by product, {spell(plan.pool)}", len(found))
        if plan.min_confidence is not None:
            found = [one for one in found if confidences.get(key(one), 0.0) >= plan.min_confidence]
            lap(f"remove hits with a confidence below {plan.min_confidence:g}", len(found))
        hits = self._hits(found[: plan.top_k], confidences)
        lap("look up rows", len(hits))
        explained = tuple(stages) if plan.explain else ()
        return Answer(
            query.name, hits, closest, plan.min_score, query.photos, explained, match, plan.min_match, query.box
        )

    def _search(self, vector: Vectors) -> list[ImageCandidate]:
        """Return as many of the closest images as the later stages need."""
        plan = self._plan
        most = min(self._index.most, self._index.images if plan.among is None else len(plan.among))
        depth = max(plan.top_k, plan.rerank.depth if plan.rerank else 0)
        if plan.pool is not None:
            depth = max(4 * depth, listed(plan.pool))
        if plan.answers is not None:
            depth = max(depth, LISTED)
        while most:
            wanted = depth + len(plan.without)  # as if what is left out came first
            rows = self._index.search(vector[None], min(wanted, most), among=plan.among)[0]
            if not all(math.isfinite(row.score) for row in rows):
                raise IndexFileError(
                    f"a search in {self._index.place} returned NaN or infinite scores: its vectors are damaged",
                    hint="dmlcli index CATALOG",
                )
            kept = [row for row in rows if row.id not in plan.without][:depth]
            found = [ImageCandidate(row.id, row.product, row, row.score, row.score) for row in kept]
            distinct = len({one.product or one.id for one in found})
            enough = distinct >= self._least_products() or len(rows) < wanted
            too_far = plan.min_score is not None and found and found[-1].cosine < plan.min_score
            too_far = too_far and plan.answers is None  # a probability does not depend on --min-score
            if enough or too_far:
                return found
            depth *= 4
        return []

    def _least_products(self) -> int:
        """Return how many products a search must find: for probabilities as many as they were fitted to."""
        plan = self._plan
        for_hits = 0 if plan.pool in (None, "vote") else plan.top_k
        return max(for_hits, COMPARED if plan.answers is not None else 0)

    def _reranked(self, vector: Vectors, found: list[ImageCandidate], rerank: "Rerank") -> list[ImageCandidate]:
        """Return the first of the list in their new order; what lies deeper than re-ranking looks stays behind them."""
        top, rest = found[: rerank.depth], found[rerank.depth :]
        scores = rerank(vector, self._index.vectors(np.array([one.id for one in top], dtype=np.int64)))
        floor = float(scores.min())
        new = [top[place]._replace(score=float(scores[place])) for place in np.argsort(-scores, kind="stable")]
        return new + [one._replace(score=min(one.cosine, floor)) for one in rest]

    def _cosines(self, vector: Vectors, known: dict[str, Scores], products: Sequence[str]) -> list[Scores]:
        """Return the cosines with the query of the images of each product that may be hits.

        Args:
            vector: (D,) the query.
            known: those that were computed before; those of `products` are added.
            products: the products.
        """
        new = [product for product in products if product not in known]
        known.update(zip(new, self._cosines_of(vector, new), strict=True))
        return [known[product] for product in products]

    def _cosines_of(self, vector: Vectors, products: Sequence[str]) -> list[Scores]:
        plan, found = self._plan, []
        removed = np.array(sorted(plan.without), dtype=np.int64)
        ids = [np.setdiff1d(own, removed) for own in self._items.of_products(products, plan.among)] if products else []
        if not ids:
            return []
        every = self._index.vectors(np.concatenate(ids)) @ vector
        for cosines in np.split(every, np.cumsum([len(own) for own in ids])[:-1]):
            if plan.min_score is not None:
                # the best image is a hit already, even if its cosine is rounded differently here
                cosines = cosines[cosines >= min(plan.min_score, float(cosines.max()))]
            found.append(cosines)
        return found

    def _hits(self, found: Sequence[ImageCandidate], confidences: Mapping[str, float]) -> tuple[Hit, ...]:
        details = self._items.details([one.id for one in found]) if found else []
        here = f"{Path.cwd()}{os.sep}"  # paths are shown as one would type them here
        return tuple(
            Hit(
                rank=rank,
                score=one.score,
                product=one.product,
                image=str(one.row.image).removeprefix(here),
                category=category,
                cosine=one.cosine,
                images=one.images,
                columns=columns if self._plan.columns is None else _chosen(columns, self._plan.columns),
                box=box,
                confidence=confidences.get(key(one)),
                id=str(one.id),
            )
            for rank, (one, (category, columns, box)) in enumerate(zip(found, details, strict=True), start=1)
        )


def _chosen(columns: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: columns[name] for name in names if name in columns}


def _probabilities(
    found: Sequence[ImageCandidate],
    cosines_of: Callable[[Sequence[str]], Sequence[Scores]],
    model: AnswerModel | None,
) -> tuple[dict[str, float], float | None]:
    """Return the probability of each of the first products by `key`, and that of the answer; none without a model."""
    if model is None or not found:
        return {}, None
    known = compared(found, cosines_of)
    scores = np.array([summary(cosines) for cosines in known.values()])
    return dict(zip(known, model.confidences(scores).tolist(), strict=True)), probability(model.log_odds(scores))


def _fused(queries: list[_Query]) -> list[_Query]:
    """Return one query for all of them: the mean of their vectors; none where there is nothing left to search with."""
    if not queries:
        return []
    first, others = queries[0], len(queries) - 1
    name = f"{first.name} and {others} more" if others else first.name
    photos = tuple(photo for query in queries for photo in query.photos)
    stages = tuple(stage for query in queries for stage in query.stages)
    return [_Query(name, unit_mean(np.stack([query.vector for query in queries])), photos, stages)]
