"""Parsing of `--metrics` and `--fail-under`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dmlcli.errors import UsageError, nearest
from dmlcli.metrics import clusters, consistency, geometry, ranked, verification
from dmlcli.product_score import RECALL_AT

CATEGORY = ("hit@category", "recall@1_within_category")
_ALIASES = {"p@1": "precision@1", "rp": "r_precision"}
_SINGLE_SHOT = re.compile(r"cmc_single_shot@([1-9]\d{0,8})")
_FMR = (0.01, 0.001)
_PRODUCT = re.compile(r"product_recall@([1-9]\d{0,8})")
KNOWN = (
    *ranked.KNOWN,
    "macro_…",
    "product_recall@K",
    *CATEGORY,
    "cmc_single_shot@K",
    *verification.NAMES,
    *consistency.NAMES,
    *clusters.NAMES,
    *geometry.NAMES,
)


@dataclass(frozen=True)
class MetricSelection:
    """The selected metrics by the way they are measured; `order` is the order of the report."""

    order: tuple[str, ...]
    ranked: list[str] = field(default_factory=list)
    category: list[str] = field(default_factory=list)
    products: list[int] = field(default_factory=list)
    single_shot: list[int] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    geometry: list[str] = field(default_factory=list)

    @property
    def by_query(self) -> list[str]:
        """Those that have a value for each query, and so an interval."""
        others = {*self.pairs, *self.clusters, *self.geometry}
        return [name for name in self.order if name not in others]


def selection(
    requested: str | None,
    recall: Iterable[int] = (1, 5, 10),
    also: Iterable[str] = (),
    product_recall: Iterable[int] = RECALL_AT,
) -> MetricSelection:
    """Return the metrics to report.

    Args:
        requested: names with commas between them, `all`, or None for the usual ones.
        recall: the K of the usual ones.
        also: names that are needed in any case.
        product_recall: the K of the usual ones by product; none for ranked lists, which have no scores.

    Raises:
        UsageError: an unknown metric.
    """
    usual = [f"recall@{k}" for k in recall]
    usual += ["map@r", "r_precision", *(f"product_recall@{k}" for k in product_recall)]
    names = usual
    if requested == "all":
        names = [*usual, "precision@1", "map", "map@10", "mrr", "minp", "macro_recall@1", "macro_map@r", *CATEGORY]
        names += ["cmc_single_shot@1", "auc", "eer", *(f"fnmr@fmr={rate}" for rate in _FMR), *consistency.NAMES]
        names += [*clusters.NAMES, "pcf@0.5"]
    elif requested is not None:
        names = [name.strip().lower() for name in requested.split(",") if name.strip()]
    names = list(dict.fromkeys(_ALIASES.get(name, name) for name in [*names, *also]))
    if not names:
        raise UsageError("invalid --metrics: no metric is given", hint=f"known: {', '.join(KNOWN)}")
    found = MetricSelection(tuple(names))
    for name in names:
        if product := _PRODUCT.fullmatch(name):
            found.products.append(int(product[1]))
        elif shot := _SINGLE_SHOT.fullmatch(name):
            found.single_shot.append(int(shot[1]))
        elif name in CATEGORY:
            found.category.append(name)
        elif name in clusters.NAMES:
            found.clusters.append(name)
        elif geometry.explained(name) is not None:
            found.geometry.append(name)
        elif name in ("auc", "eer", *consistency.NAMES) or verification.rate(name) is not None:
            found.pairs.append(name)
        else:
            _check(name)
            found.ranked.append(name)
    return found


def parse_min_scores(limits: list[str] | None) -> dict[str, float]:
    """Parse `recall@1=0.8`, or several separated by commas; raises UsageError for invalid ones."""
    found = {}
    for limit in ",".join(limits or []).split(","):
        if not limit.strip():
            continue
        name, mark, number = limit.strip().lower().rpartition("=")
        try:
            lowest = float(number)
        except ValueError:
            lowest = -1
        if not mark or not 0 <= lowest <= 1:
            raise UsageError(
                f"invalid --fail-under '{limit.strip()}': expected METRIC=VALUE", hint="--fail-under recall@1=0.8"
            )
        found[_ALIASES.get(name, name)] = lowest
    for name in found:
        selection(name)
    return found


def failed(lowest: Mapping[str, float], metrics: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return a sentence for each metric below its minimum."""
    short = []
    for name, least in lowest.items():
        score = metrics.get(name)
        if score is None:
            short.append(f"{name} has no value, minimum {least:g}")
        elif score < least:
            short.append(f"{name} is {score:.4f}, below {least:g}")
    return tuple(short)


def _check(name: str) -> None:
    try:
        ranked.find(name)
    except UsageError as error:
        raise UsageError(str(error), hint=nearest(name, list(KNOWN))) from error
