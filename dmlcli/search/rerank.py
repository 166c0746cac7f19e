"""Re-ranking of the first hits by their similarity to each other.

Each method is a function from a query and its closest images to a new score for each of them, which `query` and `eval`
share:

    rerank = parse("k-reciprocal:k1=10")
    top = np.argsort(-(gallery @ query))[: rerank.depth]         # rows, best first
    order = top[np.argsort(-rerank(query, gallery[top]), kind="stable")]

Memory is depth x depth for one query; nothing is ever computed for the whole gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dmlcli import spec_strings
from dmlcli.errors import UsageError
from dmlcli.spec_strings import WordSetting

Array = NDArray[np.float32]
DEPTH = 200  # candidates of one query


@dataclass(frozen=True)
class QueryExpansion:
    """aqe: the query is averaged with its closest images, weighted by their scores to the power alpha.

    Source: Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019 (alpha-QE).
    """

    name: ClassVar[str] = "aqe"
    k: int = 5  # closest images that the query moves towards
    alpha: float = 3.0  # 0: all alike; larger: the closest count more
    depth: int = DEPTH

    def __call__(self, query: Array, candidates: Array) -> Array:
        """Return scores of the candidates (K, D), best first, for the moved query (D,)."""
        nearest_ones = candidates[: self.k]
        weights = np.clip(nearest_ones @ query, 0, None) ** np.float32(self.alpha)
        return candidates @ _unit(query + weights @ nearest_ones)


@dataclass(frozen=True)
class DatabaseAugmentation:
    """dba: each candidate becomes the weighted mean of itself and its nearest neighbors in the list.

    Source: Turcot & Lowe, Better matching with fewer features, ICCV workshops 2009; weights as in alpha-QE.
    """

    name: ClassVar[str] = "dba"
    k: int = 5  # neighbors that each candidate is averaged with
    alpha: float = 3.0
    depth: int = DEPTH

    def __call__(self, query: Array, candidates: Array) -> Array:
        """Return scores of the averaged candidates (K, D) for the query (D,)."""
        between = candidates @ candidates.T  # (K, K)
        order = np.argsort(-between, axis=1, kind="stable")[:, : self.k + 1]  # itself comes first
        weights = np.zeros_like(between)
        rows = np.arange(len(candidates))[:, None]
        weights[rows, order] = np.clip(between[rows, order], 0, None) ** np.float32(self.alpha)
        return _unit(weights @ candidates) @ query


@dataclass(frozen=True)
class Reciprocal:
    """k-reciprocal: similarity of reciprocal neighbor sets (Jaccard), combined with the cosine.

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, eq. 3 to 12, with
    the candidates and the query in place of the gallery.
    """

    name: ClassVar[str] = "k-reciprocal"
    k1: int = 20  # neighbors that must know each other
    k2: int = 6  # neighbors whose encodings are averaged
    keep: float = 0.3  # share of the plain score in the new one (the paper's lambda)
    depth: int = DEPTH

    def __call__(self, query: Array, candidates: Array) -> Array:
        """Return keep * cosine + (1 - keep) * Jaccard similarity of the candidates (K, D) and the query (D,)."""
        every = np.concatenate([query[None], candidates])  # (K + 1, D), the query is row 0
        between = every @ every.T
        order = np.argsort(-between, axis=1, kind="stable")
        encoded = self._encode(between, order)
        if self.k2 > 1:
            encoded = np.stack([encoded[near].mean(axis=0) for near in order[:, : self.k2]])
        least = np.minimum(encoded[0], encoded[1:]).sum(axis=1)  # both rows sum to 1
        jaccard = least / (2 - least)
        scores: Array = np.float32(self.keep) * between[0, 1:] + np.float32(1 - self.keep) * jaccard
        return scores

    def _encode(self, between: Array, order: NDArray[np.int64]) -> Array:
        """Return in row i the weight of each row among the reciprocal neighbors of i; rows sum to 1."""
        near, half = _mutual(order, self.k1), _mutual(order, round(self.k1 / 2))
        shared = near @ half.T  # (K + 1, K + 1): how many of j's half are among i's neighbors
        # a neighbor brings its own along where two thirds of them are mine already
        brings = near * (3 * shared >= 2 * half.sum(axis=1))
        weights = np.exp(between - 1) * ((near + brings @ half) > 0)
        encoded: Array = weights / weights.sum(axis=1, keepdims=True)
        return encoded


Rerank = QueryExpansion | DatabaseAugmentation | Reciprocal
WAYS: dict[str, type[Rerank]] = {way.name: way for way in (QueryExpansion, DatabaseAugmentation, Reciprocal)}


def parse(text: str) -> Rerank:
    """Parse `aqe` or `aqe:k=5,alpha=3`; raises UsageError with what is valid."""
    spec = spec_strings.parse("--rerank", text, {name: _settings(way) for name, way in WAYS.items()})
    settings: Any = spec.given
    return WAYS[spec.word](**settings)


def _settings(way: type[Rerank]) -> list[WordSetting]:
    """Return the settings of a method: counts of images from 1, a share up to 1, exponents from 0."""
    found = []
    for field in fields(way):
        default: Any = field.default
        kind = "float" if isinstance(default, float) else "int"
        most = 1 if field.name == "keep" else 10_000
        found.append(WordSetting(field.name, (kind,), default, least=int(kind == "int"), most=most))
    return found


def parse_all(texts: Sequence[str]) -> list[Rerank]:
    """Parse `aqe:k=3,alpha=2,dba`, or `all`, as several methods, each once; raises UsageError like `parse`."""
    words: list[str] = []
    for part in filter(None, (part.strip() for text in texts for part in text.split(","))):
        if words and "=" in part and ":" not in part:  # one more setting of the way before it
            words[-1] += f",{part}"
        else:
            words += WAYS if part == "all" else [part]
    if not words:
        raise UsageError("invalid --rerank: no method is given", hint=f"use all, or some of {', '.join(WAYS)}")
    return list(dict.fromkeys(map(parse, words)))


def spell(way: Rerank) -> str:
    """Return the text of a re-ranking method, with settings that differ from the defaults.

    >>> spell(QueryExpansion(k=3))
    'aqe:k=3'
    """
    usual = type(way)()
    names = [field.name for field in fields(way)]
    settings_shown = [f"{name}={getattr(way, name):g}" for name in names if getattr(way, name) != getattr(usual, name)]
    return f"{way.name}:{','.join(settings_shown)}" if settings_shown else way.name


def _mutual(order: NDArray[np.int64], k: int) -> Array:
    """Return (K, K) of 1 and 0: whether two rows are each among the k nearest of the other, or the same row."""
    near = np.zeros(order.shape, dtype=np.float32)
    np.put_along_axis(near, order[:, : k + 1], 1, axis=1)
    np.fill_diagonal(near, 1)
    return near * near.T


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
