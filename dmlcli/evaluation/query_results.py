"""Results of one exact search for each query: ranks, closest relevant and irrelevant image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dmlcli import progress
from dmlcli.catalog import Item
from dmlcli.metrics.consistency import Consistency
from dmlcli.metrics.verification import Pairs
from dmlcli.ranking import TIE, Found, Groups, ProductRanks, Similarities, find
from dmlcli.types import Ranks, Rows, Scores

Floats = NDArray[np.float64]
SINGLE_SHOT_REPEATS = 10


@dataclass
class QueryResults:
    """Results of a search; arrays are by query (Q,), NaN or -1 for missing values."""

    products: list[str]
    rankings: list[Ranks]
    right: Floats  # similarity to the closest image of its product
    right_row: Rows  # gallery row of it
    wrong: Floats  # similarity to the closest image of another
    wrong_row: Rows
    extra: dict[str, Floats] = field(default_factory=dict)  # metrics that do not follow from ranks
    pairs: Pairs | None = None
    consistency: Consistency | None = None

    @property
    def relevant_at_1(self) -> NDArray[np.bool_]:
        """Whether the first hit is right, ties counted against the search."""
        return np.array([len(ranks) > 0 and ranks[0] == 1 for ranks in self.rankings])

    @property
    def optimistic(self) -> NDArray[np.bool_]:
        """Whether the first hit could be right if ties fell in favor of the search."""
        return (self.right >= self.wrong - TIE) | (self.relevant_at_1 & np.isnan(self.wrong))


Watcher = Callable[[Found], None]  # sees what each query found


def evaluate_queries(
    queries: Scores,
    gallery: Scores,
    query_items: Sequence[Item],
    gallery_items: Sequence[Item],
    *,
    own_rows: Rows | None = None,
    excluded: Callable[[int], Rows] | None = None,
    product_recall: Sequence[int] = (),
    product_weight: float = 0.0,
    single_shot: Sequence[int] = (),
    pairs: bool = False,
    consistency: bool = False,
    watch: Watcher = lambda _: None,
    observe: Sequence[Callable[[Similarities], None]] = (),
    seed: int = 0,
) -> QueryResults:
    """Search queries in a gallery and return the results of each query.

    Args:
        queries: (Q, D) unit vectors.
        gallery: (G, D) unit vectors.
        query_items, gallery_items: the items of queries and gallery.
        own_rows: (Q,) the gallery row of each query itself, which it may not find.
        excluded: returns other rows that a query may not find.
        product_recall: the K of Recall@K by product.
        product_weight: of `product_score`, which products are ranked by.
        single_shot: the K of CMC with one random image per product in the gallery, as for CUHK03.
        pairs: whether to count the similarities of all pairs.
        consistency: whether to count them by product.
        watch: called with what each query found.
        observe: called with all similarities of each query, which they must not change.
        seed: seed of the random draws of `single_shot`.
    """
    count = len(query_items)
    products = Groups([item.product for item in query_items], [item.product for item in gallery_items])
    nothing = np.full(count, np.nan)
    results = QueryResults(
        [item.product for item in query_items],
        [np.empty(0, dtype=np.int64)] * count,
        nothing.copy(),
        np.full(count, -1),
        nothing.copy(),
        np.full(count, -1),
        pairs=Pairs() if pairs else None,
        consistency=Consistency([item.product for item in query_items]) if consistency else None,
    )
    observe = [*observe]
    if (counted := results.pairs) is not None:
        observe.append(lambda found: counted.add(found.right, found.wrong))
    if (by_product := results.consistency) is not None:
        observe.append(lambda found: by_product.add(found.query, found.right, found.wrong))
    if product_recall:
        ranks = ProductRanks([item.product for item in gallery_items], product_weight)
        observe.append(_ProductRecall(ranks, product_recall, count, results.extra).observe)
    if single_shot:
        observe.append(_SingleShot(products, single_shot, count, results.extra, seed).observe)
    if any(item.category for item in query_items) and any(item.category for item in gallery_items):
        observe.append(
            _Categories(query_items, gallery_items, results.extra).observe
        )  # last: it writes into the similarities
    searches = find(queries, gallery, products, own_rows=own_rows, excluded=excluded, observe=observe)
    for found in progress.track(searches, "searching", count):
        results.rankings[found.query] = found.ranks
        if found.wrong > -np.inf:
            results.wrong[found.query], results.wrong_row[found.query] = found.wrong, found.wrong_row
        if len(found.right):
            results.right[found.query], results.right_row[found.query] = found.right[0], found.right_rows[0]
        watch(found)
    return results


class _Categories:
    """Is the first hit at least of the right category, and is it right among those of the category?"""

    def __init__(self, query_items: Sequence[Item], gallery_items: Sequence[Item], extra: dict[str, Floats]) -> None:
        self._groups = Groups([item.category for item in query_items], [item.category for item in gallery_items])
        self._hit = extra["hit@category"] = np.full(len(query_items), np.nan)
        self._within = extra["recall@1_within_category"] = np.full(len(query_items), np.nan)

    def observe(self, found: Similarities) -> None:
        kin = self._groups.rows(found.query)
        near = found.wrong[kin].max(initial=-np.inf)
        right = found.right.max(initial=-np.inf)
        found.wrong[kin] = -np.inf
        far = found.wrong.max(initial=-np.inf)
        if len(kin) and max(right, near) > -np.inf:
            self._hit[found.query] = max(right, near) - TIE > far
        if len(kin) and len(found.right):
            self._within[found.query] = right - TIE > near


class _ProductRecall:
    """Is the right product among the first K products, each of which counts once?"""

    def __init__(self, ranks: ProductRanks, at: Sequence[int], queries: int, extra: dict[str, Floats]) -> None:
        self._ranks = ranks
        self._values = {k: extra.setdefault(f"product_recall@{k}", np.full(queries, np.nan)) for k in at}

    def observe(self, found: Similarities) -> None:
        if len(found.right):
            rank = self._ranks.rank(found.right, found.wrong)
            for k, values in self._values.items():
                values[found.query] = rank <= k


class _SingleShot:
    """CMC where the gallery holds one random image of each product: the mean over ten such galleries."""

    def __init__(self, products: Groups, at: Sequence[int], queries: int, extra: dict[str, Floats], seed: int) -> None:
        self._at = at
        self._values = [extra.setdefault(f"cmc_single_shot@{k}", np.full(queries, np.nan)) for k in at]
        self._order = np.argsort(products.of_gallery, kind="stable")
        _, self._starts, self._sizes = np.unique(
            products.of_gallery[self._order], return_index=True, return_counts=True
        )
        self._chance = np.random.default_rng(seed)

    def observe(self, found: Similarities) -> None:
        if not len(found.right):
            return
        draws = self._chance.random((SINGLE_SHOT_REPEATS, len(self._sizes)))
        picked = found.wrong[self._order[self._starts + (draws * self._sizes).astype(np.int64)]]  # (repeats, products)
        right = self._chance.choice(found.right, SINGLE_SHOT_REPEATS)
        ranks = 1 + (picked >= (right - TIE)[:, None]).sum(axis=1)
        for k, values in zip(self._at, self._values, strict=True):
            values[found.query] = (ranks <= k).mean()
