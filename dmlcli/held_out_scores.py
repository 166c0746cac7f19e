"""Scores of the photos that cross-validation held out, query by query, in the folder of the model.

Models that were trained on one catalog are scored by the same searches, so that they can be compared query by query,
although both were then fitted on these photos.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dmlcli import storage
from dmlcli.catalog import Item
from dmlcli.metrics import Values, interval95, mean
from dmlcli.model import HELD_OUT
from dmlcli.report.models_diff import ScoreDifference
from dmlcli.storage import records

METRICS = ("map@r", "recall@1")
ALL = "all"  # the name of all searches together
_SCHEMA = 1
_SEARCH = {
    "name": records.TEXT,
    "mark": records.TEXT,
    "products": records.list_of(records.TEXT),
    "scores": records.mapping_of(records.list_of(records.optional(records.number(0, 1)))),
}
_FIELDS = {"searches": records.list_of(records.record_of(_SEARCH))}


@dataclass(frozen=True)
class HeldOutSearch:
    """One search of one fold, and the scores of its queries."""

    name: str  # seen or unseen
    mark: str  # equal for searches with the same queries and gallery
    products: Sequence[str]  # (Q,) of the queries
    scores: dict[str, list[float | None]]  # by metric (Q,); None where no image can be found


def mark(queries: Iterable[tuple[Item, str]], gallery: Iterable[tuple[Item, str]]) -> str:
    """Return what identifies a search: the content and product of its images.

    Args:
        queries: each with the digest of its content.
        gallery: likewise.
    """
    digest = hashlib.blake2b(digest_size=8)
    for side in (queries, gallery):
        for item, content in side:
            digest.update(f"{content}\0{item.product}\0".encode("utf-8", "surrogateescape"))
        digest.update(b"\1")
    return digest.hexdigest()


def write(folder: Path, searches: Sequence[HeldOutSearch]) -> None:
    """Write the scores into the folder of a model; nothing where nothing was held out."""
    if searches:
        storage.write_json(folder / HELD_OUT, {"schema": _SCHEMA, "searches": [asdict(one) for one in searches]})


def read(folder: Path) -> list[HeldOutSearch]:
    """Return the scores in the folder of a model; none where there are none, or they are damaged."""
    try:
        values = records.read(folder / HELD_OUT, _SCHEMA, _FIELDS)
        found = [HeldOutSearch(**one) for one in values["searches"]]
    except (OSError, ValueError):
        return []
    sound = all({len(one.products)} == {len(one.scores.get(name, ())) for name in METRICS} for one in found)
    return found if sound else []


def compare(
    first: Sequence[HeldOutSearch], second: Sequence[HeldOutSearch], *, seed: int = 0
) -> tuple[int, int, list[ScoreDifference]]:
    """Compare two models on the searches that both were scored by.

    Args:
        first, second: the scores of the models.
        seed: of the bootstrap.

    Returns:
        The number of queries and of products, and a row for each search and metric; all are empty without a search in
        common. Several searches also have rows together.
    """
    others = {(one.name, one.mark): one for one in second}
    pairs = [(one, others[one.name, one.mark]) for one in first if (one.name, one.mark) in others]
    names = list(dict.fromkeys(one.name for one, _ in pairs))
    groups = {name: [pair for pair in pairs if pair[0].name == name] for name in names}
    if len(names) > 1:
        groups[ALL] = pairs
    rows = [_difference(name, metric, group, seed) for name, group in groups.items() for metric in METRICS]
    products = [product for one, _ in pairs for product in one.products]
    return len(products), len(set(products)), rows


def why_not(*scores: Sequence[HeldOutSearch]) -> str:
    """Return why models without a search in common cannot be compared."""
    if not all(scores):
        return "no scores of held-out photos are kept for one of them"
    return "they were validated on different photos, so their scores cannot be compared"


def _difference(
    name: str, metric: str, pairs: Sequence[tuple[HeldOutSearch, HeldOutSearch]], seed: int
) -> ScoreDifference:
    products = [product for one, _ in pairs for product in one.products]
    these = _values([one.scores[metric] for one, _ in pairs])
    those = _values([other.scores[metric] for _, other in pairs])
    return score_difference(name, metric, (these, those), products, seed)


def score_difference(
    search: str, metric: str, values: tuple[Values, Values], products: Sequence[str], seed: int = 0
) -> ScoreDifference:
    """Return the means of two models' values of the same queries, and their paired difference.

    Args:
        search: its name.
        metric: its name.
        values: (Q,) of the first and of the second model; NaN where no image can be found.
        products: (Q,) of the queries.
        seed: of the bootstrap.
    """
    gaps = values[0] - values[1]
    span = interval95(gaps, products, seed)
    significant = span is not None and (span[0] > 0 or span[1] < 0)
    return ScoreDifference(search, metric, mean(values[0]), mean(values[1]), mean(gaps), span, significant)


def _values(parts: Sequence[Sequence[float | None]]) -> Values:
    return np.array([np.nan if value is None else value for part in parts for value in part], dtype=np.float64)
