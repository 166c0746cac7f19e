"""Whether any `--rerank` finds products better than the product score that `dmlcli query` uses without it.

    python benchmarks/reranking.py ../shared/data [--backbone mobilenet_v2 --weights FILE] [--draws 5]
    python benchmarks/reranking.py sample_data --unknown 27 --step 1

In each draw a model is trained without some products, which are then added to the index. Queries are photos that
training never opens, of products that the model was trained on (seen) and of the others (unseen). Products are ranked
by their score, whose weight cross-validation fitted, or by the new score of their best image after re-ranking.
Intervals (95 %) are over products, paired.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import held_out
from benchmarks.held_out import Trained
from dmlcli.learn.validation.answers import search_products
from dmlcli.metrics import interval95
from dmlcli.search import rerank
from dmlcli.types import Rows

METHODS = ("aqe", "aqe:k=3", "dba", "dba:k=3", "k-reciprocal", "k-reciprocal:k1=10")
Ranks = dict[str, list[int]]  # of the right product of each query, by method
DEFAULT = "product score"


def main() -> None:
    """Print product Recall@1 and Recall@3 by product score, and the differences of each method."""
    parser = held_out.arguments(__doc__, draws=5, unknown=40)
    parser.add_argument("--step", type=int, default=10, help="search with every so manieth photo")
    asked = parser.parse_args()
    data, recipe = held_out.read_for(asked)
    found: dict[bool, tuple[Ranks, list[str]]] = {False: ({}, []), True: ({}, [])}
    for number in range(asked.draws):
        trained = held_out.train(data, recipe, held_out.draw(data, asked.unknown, number))
        queries = trained.queries[:: asked.step]
        for is_unseen, (ranks, names) in found.items():
            rows = queries[trained.is_unseen[queries] == is_unseen]
            names += trained.names[rows].tolist()
            for method, more in ranked(trained, rows).items():
                ranks.setdefault(method, []).extend(more)
    for is_unseen, (ranks, names) in found.items():
        print(f"{'unseen' if is_unseen else 'seen'} products, {len(names)} queries")
        for method, values in ranks.items():
            print(f"  {method:20} {_compared(np.array(values), np.array(ranks[DEFAULT]), names)}")


def ranked(trained: Trained, queries: Rows) -> Ranks:
    """Return the rank of the right product of each query (Q,), by product score and by each method."""
    gallery = np.concatenate([trained.gallery, trained.unseen])
    weight = trained.answers.product_weight if trained.answers else 0.0
    found = search_products(trained.names, queries, gallery, trained.vectors)
    ranks: Ranks = {DEFAULT: []}
    for one in found:
        scores = one.scores @ [1 - weight, weight]
        ranks[DEFAULT].append(len(scores) + 1 if one.right < 0 else 1 + int((scores > scores[one.right]).sum()))
    names, vectors = trained.names[gallery], trained.vectors[gallery]
    for method in map(rerank.parse, METHODS):
        for row in queries:
            query = trained.vectors[row]
            top = np.argsort(-(vectors @ query), kind="stable")[: method.depth]
            order = top[np.argsort(-method(query, vectors[top]), kind="stable")]
            own = list(dict.fromkeys(names[order].tolist()))
            name = str(trained.names[row])
            ranks.setdefault(rerank.spell(method), []).append(1 + own.index(name) if name in own else len(own) + 1)
    return ranks


def _compared(ranks: NDArray[np.int64], base: NDArray[np.int64], names: list[str]) -> str:
    """Return Recall@1 and Recall@3 in percent, and their differences from the base in points."""
    parts = []
    for k in (1, 3):
        gains = (ranks <= k).astype(float) - (base <= k)
        low, high = interval95(gains, names) or (np.nan, np.nan)
        parts.append(
            f"@{k} {100 * np.mean(ranks <= k):5.1f} %  {100 * gains.mean():+5.1f} "
            f"({100 * low:+.1f} … {100 * high:+.1f})"
        )
    return "   ".join(parts)


if __name__ == "__main__":
    main()
