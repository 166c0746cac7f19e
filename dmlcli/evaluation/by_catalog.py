"""Scores of several catalogs: the queries of each in its own gallery, in that of every other, and in all of them."""

from collections.abc import Iterator, Sequence

import numpy as np

from dmlcli.evaluation.measure import EvalSides, Evaluation, values_of, vectors_of
from dmlcli.evaluation.protocol import exclusion
from dmlcli.evaluation.query_results import evaluate_queries
from dmlcli.metrics import confidence
from dmlcli.report.eval import CatalogScores
from dmlcli.types import Ranks, Rows

METRICS = ("recall@1", "map@r")


def by_catalog(sides: EvalSides, found: Evaluation, seed: int, missing_as_zero: bool) -> list[CatalogScores]:
    """Return the scores of each pair of catalogs that share a product, and of each catalog in itself and in all.

    Args:
        sides: queries and gallery, with vectors and with the catalog of each image.
        found: the evaluation of all catalogs together.
        seed: seed of the bootstrap.
        missing_as_zero: whether queries without a relevant image count as 0.
    """
    made = []
    sources, targets = _rows(sides.query_catalogs), _rows(sides.gallery_catalogs)
    for source, asking in sources.items():
        for target, within in _shared(sides, source, asking, targets):
            rankings = _search(sides, asking, within, apart=source != target)
            made.append(_scores(sides, (source, target), asking, within, rankings, seed, missing_as_zero))
        everything = np.arange(len(sides.gallery.items))
        rankings = [found.results.rankings[row] for row in asking]
        made.append(_scores(sides, (source, None), asking, everything, rankings, seed, missing_as_zero))
    return made


def _rows(catalogs: Sequence[str]) -> dict[str, Rows]:
    """Return the rows of each catalog, ascending."""
    of_rows = np.array(catalogs)
    return {name: np.flatnonzero(of_rows == name) for name in dict.fromkeys(catalogs)}


def _shared(sides: EvalSides, source: str, asking: Rows, targets: dict[str, Rows]) -> Iterator[tuple[str, Rows]]:
    """Yield the catalog itself, and those in which its queries have a product, each with its gallery rows."""
    products = {sides.queries.items[row].product for row in asking}
    for target, within in targets.items():
        if source == target or not products.isdisjoint(sides.gallery.items[row].product for row in within):
            yield target, within


def _search(sides: EvalSides, asking: Rows, within: Rows, *, apart: bool) -> list[Ranks]:
    """Return the ranks of each query's relevant images in the gallery of one catalog.

    Two catalogs share neither photos nor sources, so that a query may find everything in another one (`apart`).
    """
    query_items = [sides.queries.items[row] for row in asking]
    gallery_items = [sides.gallery.items[row] for row in within]
    own_rows = None if apart or sides.own_rows is None else np.searchsorted(within, sides.own_rows[asking])
    results = evaluate_queries(
        vectors_of(sides.queries)[asking],
        vectors_of(sides.gallery)[within],
        query_items,
        gallery_items,
        own_rows=own_rows,
        excluded=None if apart else exclusion(query_items, gallery_items, None, sides.same),
    )
    return results.rankings


def _scores(
    sides: EvalSides,
    pair: tuple[str, str | None],
    asking: Rows,
    within: Rows,
    rankings: Sequence[Ranks],
    seed: int,
    missing_as_zero: bool,
) -> CatalogScores:
    """Return a row of the table: the queries of one catalog in the gallery of another, or of all (None)."""
    products = [sides.queries.items[row].product for row in asking]
    values = values_of(rankings, METRICS, sides, missing_as_zero)
    return CatalogScores(
        queries_of=pair[0],
        gallery_of=pair[1],
        queries=len(asking),
        products=len(set(products)),
        gallery=len(within),
        without_positive=sum(len(ranks) == 0 for ranks in rankings),
        metrics=confidence.means(values, products),
        interval95=dict(confidence.intervals95(values, products, seed)),
    )
