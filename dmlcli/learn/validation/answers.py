"""Fits the probabilities of answers (search/confidence.py) to the photos that the folds held out.

Three kinds of searches are made in each fold, all of them in photos that the fold was fitted on: held-out photos of
seen products; photos of unseen products, whose products are unknown there; and these once more with the other photos
of their products added to the gallery, as when products are added to an index.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.validation.folds import Search
from dmlcli.product_score import COMPARED
from dmlcli.ranking import ProductImages, closest
from dmlcli.search.confidence import LEVELS, PROPERTIES, AnswerModel, properties, summary
from dmlcli.types import Rows, Vectors

Floats = NDArray[np.float64]
_FEWEST = 30  # photos of each kind; with fewer, a probability would mean nothing
_MOST = 800  # photos of each kind and fold
_STEPS, _SMALL = 200, 1e-8
_PRIOR = 1.0  # precision of the prior on standardized weights
_SOFTMAX_PRIOR = 1e-3  # the same for weights of cosines, which are larger


class Found(NamedTuple):
    """The products that one query found, and which is the right one."""

    scores: Floats  # (C, 2) the best image and the mean of the best three of each product, at most COMPARED
    right: int  # place of the right product, -1 where it is not among them


class FoldAnswers(NamedTuple):
    """What the queries of one or several folds found."""

    seen: list[Found]  # photos of products that the fold was fitted on
    added: list[Found]  # photos of other products, whose images were added to the gallery
    unknown: list[Found]  # the same photos without these images


def fold_answers(
    products: Sequence[str], fitted: Sequence[int], searches: Mapping[str, Search], vectors: Vectors
) -> FoldAnswers:
    """Search with what a fold held out.

    Args:
        products: (N,) of all images.
        fitted: the rows that the fold was fitted on.
        searches: the validation searches of the fold.
        vectors: (N, D) unit embeddings of all images by the fold's network.
    """
    names = np.asarray(products, dtype=object).astype(str)
    gallery = np.asarray(fitted, dtype=np.int64)
    seen, added, unknown = [], [], []
    if "seen" in searches:
        seen += search_products(names, _few(searches["seen"].queries), gallery, vectors)
    if "unseen" in searches:
        queries = _few(searches["unseen"].queries)
        unknown += search_products(names, queries, gallery, vectors)
        if not {*queries.tolist()} & {*searches["unseen"].gallery}:  # else photos of one series would find each other
            more = np.concatenate([gallery, np.asarray(searches["unseen"].gallery, dtype=np.int64)])
            added += search_products(names, queries, more, vectors)
    return FoldAnswers(seen, added, unknown)


def search_products(names: NDArray[np.str_], queries: Rows, gallery: Rows, vectors: Vectors) -> list[Found]:
    """Return the products that each query finds.

    Args:
        names: (N,) the product of each image.
        queries: (Q,) rows of the images to search with.
        gallery: (G,) rows of the images to search in.
        vectors: (N, D) unit embeddings.
    """
    images, found, searched = ProductImages(names[gallery].tolist()), [], vectors[gallery]
    for query in queries:
        ordered = images.ordered(searched @ vectors[query])
        first = closest(images.best(ordered), COMPARED)
        scores = np.array([summary(images.of(ordered, one)) for one in first])
        right = np.flatnonzero(images.names[first] == names[query])
        found.append(Found(scores, int(right[0]) if len(right) else -1))
    return found


def fit(folds: Sequence[FoldAnswers]) -> AnswerModel | None:
    """Fit the probabilities to all folds; None where too little was held out.

    `confidence` is fitted to photos of seen and of added products. `match` separates unknown products from seen ones,
    and from added ones only where no others were searched for: their photos lie between the two.
    """
    seen = [one for fold in folds for one in fold.seen]
    added = [one for fold in folds for one in fold.added]
    unknown = [one for fold in folds for one in fold.unknown]
    findable = [one for one in [*seen, *added] if one.right >= 0]
    known = seen or added
    if min(len(known), len(findable), len(unknown)) < _FEWEST:
        return None
    weight, sharpness = fit_softmax(findable)
    draft = AnswerModel(weight, sharpness, [0.0] * (PROPERTIES + 1), [], [], len(known) + len(unknown), len(folds))
    every = np.array([properties(one.scores, draft.scores(one.scores)) for one in [*known, *unknown]])
    is_right = np.array([one.right == int(draft.scores(one.scores).argmax()) for one in known] + [False] * len(unknown))
    if is_right.sum() < _FEWEST:
        return None
    is_known = np.arange(len(every)) < len(known)
    match = fit_logistic(every, is_right, np.where(is_known, 1.0, len(known) / len(unknown)))
    log_odds = every @ match[:-1] + match[-1]
    shares = np.linspace(0, 1, LEVELS)
    return replace(
        draft,
        match=match.tolist(),
        unknown=np.quantile(log_odds[~is_known], shares).tolist(),
        right=np.quantile(log_odds[is_right], shares).tolist(),
    )


def fit_softmax(found: Sequence[Found]) -> tuple[float, float]:
    """Return the weight of the mean of three in [0, 1] and the sharpness, of greatest likelihood.

    Args:
        found: queries whose right product is among those found.
    """
    most = max(len(one.scores) for one in found)
    inputs = np.full((len(found), most, 2), 0.0)
    offset = np.full((len(found), most), -np.inf)
    for query, one in enumerate(found):
        inputs[query, : len(one.scores)], offset[query, : len(one.scores)] = one.scores, 0.0
    right = torch.tensor([one.right for one in found])
    both = _softmax_weights(inputs, offset, right)
    if (both >= 0).all():
        return float(both[1] / max(both.sum(), _SMALL)), float(both.sum())
    column = int(both.argmax())  # of the two, the one that says something
    alone = _softmax_weights(inputs[:, :, [column]], offset, right)
    return float(column), max(float(alone[0]), 0.0)


def fit_logistic(inputs: Floats, target: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the weights (P + 1,) of a logistic regression, the constant last.

    Args:
        inputs: (N, P).
        target: (N,).
        weights: (N,) of the rows.
    """
    center, spread = inputs.mean(axis=0), inputs.std(axis=0) + _SMALL
    rows, truth = torch.tensor((inputs - center) / spread), torch.tensor(target, dtype=torch.double)

    def loss(found: Tensor) -> Tensor:
        log_odds = rows @ found[:-1] + found[-1]
        misfit = F.binary_cross_entropy_with_logits(log_odds, truth, torch.tensor(weights), reduction="sum")
        return misfit + _PRIOR / 2 * found[:-1].square().sum()

    found = _minimum(loss, inputs.shape[1] + 1)
    plain = found[:-1] / spread
    return np.append(plain, found[-1] - plain @ center)


def _softmax_weights(inputs: Floats, offset: Floats, right: Tensor) -> Floats:
    """Return the weights (P,) of a softmax over products (Q, C, P) that give the right ones (Q,) most likelihood."""
    scores, masked = torch.tensor(inputs), torch.tensor(offset)

    def loss(weights: Tensor) -> Tensor:
        misfit = F.cross_entropy(scores @ weights + masked, right, reduction="sum")
        return misfit + _SOFTMAX_PRIOR / 2 * weights.square().sum()

    return _minimum(loss, inputs.shape[-1])


def _minimum(loss: Callable[[Tensor], Tensor], size: int) -> Floats:
    """Return the weights (size,) for which a convex loss is least."""
    weights = torch.zeros(size, dtype=torch.double, requires_grad=True)
    steps: torch.optim.Optimizer = torch.optim.LBFGS(
        [weights], max_iter=_STEPS, tolerance_grad=_SMALL, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        value = loss(weights)
        (weights.grad,) = torch.autograd.grad(value, weights)
        return value.item()

    with torch.enable_grad():
        steps.step(closure)
    return weights.detach().numpy()


def _few(rows: Sequence[int]) -> Rows:
    return np.asarray(rows, dtype=np.int64)[:: -(-len(rows) // _MOST)]
