"""What cross-validation says of the selected candidate: probabilities of answers, and the scores of each query."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from dmlcli.held_out_scores import HeldOutSearch, mark
from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.training.candidate import FROZEN, POOLED, Candidate, QueryScores
from dmlcli.learn.validation import answers
from dmlcli.learn.validation.head_selection import new_head, solve
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.training_data import Fold, TrainingData
from dmlcli.search.confidence import AnswerModel
from dmlcli.types import Vectors


@dataclass(frozen=True)
class FoldResults:
    """What the folds say of answers."""

    answers: AnswerModel | None = None  # None where too little was held out
    product_recall: dict[str, dict[str, float]] = field(default_factory=dict)  # by search and metric
    held_out: Sequence[HeldOutSearch] = ()  # the scores of each query


def fit_answers(data: TrainingData, plan: ValidationPlan, best: Candidate) -> FoldResults:
    """Fit the probabilities of answers to the searches of the folds.

    Nothing is fitted for synthetic queries, which resemble their photos more than new photos do. The scores of each
    query are those of the selected epoch, or are computed for the LDA head.

    Args:
        data: all photos.
        plan: the folds.
        best: the candidate that is kept.
    """
    if data.uses_synthetic_queries:
        return FoldResults()
    products = [item.product for item in data.photos.items]
    folds = [(fold, vectors) for fold, vectors in embedded_folds(data, plan, best) if fold.validation]
    fitted = answers.fit(
        [
            answers.fold_answers(products, fold.train.rows, fold.validation.searches.by_name, vectors)
            for fold, vectors in folds
        ]
    )
    weight = fitted.product_weight if fitted else 0.0
    product_recall: dict[str, list[dict[str, float]]] = {}
    for fold, vectors in folds:
        searches = fold.validation.searches
        for name in searches.names:
            product_recall.setdefault(name, []).append(searches.product_recall(name, vectors[searches.rows], weight))
    recall = {name: _mean([one for one in every if one]) for name, every in product_recall.items()}
    if best.query_scores:
        held_out = held_out_searches(data, plan.folds[0], best.query_scores)
    else:
        held_out = [one for fold, found in folds for one in held_out_searches(data, fold, query_scores_of(fold, found))]
    return FoldResults(fitted, {name: one for name, one in recall.items() if one}, held_out)


def query_scores_of(fold: Fold, vectors: Vectors) -> QueryScores:
    """Return the scores of each query of a fold, from the embeddings (N, D) of all photos."""
    return fold.validation.searches.query_scores(vectors[fold.validation.searches.rows])


def held_out_searches(data: TrainingData, fold: Fold, query_scores: QueryScores) -> list[HeldOutSearch]:
    """Return the scores of each query of a fold, as the model folder keeps them.

    Args:
        data: all photos.
        fold: has the searches.
        query_scores: of each query, by search and metric.
    """
    found = []
    for name, search in fold.validation.searches.by_name.items():
        sides = [
            [(data.photos.items[row], data.plain.states[row].digest) for row in rows]
            for rows in (search.queries, search.gallery)
        ]
        products = [data.photos.items[row].product for row in search.queries]
        found.append(HeldOutSearch(name, mark(*sides), products, query_scores[name]))
    return found


@torch.no_grad()
def embedded_folds(data: TrainingData, plan: ValidationPlan, best: Candidate) -> Iterator[tuple[Fold, Vectors]]:
    """Yield each fold that a candidate was scored in, with its embeddings (N, D) of all photos that the fold uses.

    Args:
        data: all photos.
        plan: the folds.
        best: the candidate.
    """
    if best.embeddings:
        fold, (fitted, scored) = plan.folds[0], best.embeddings
        vectors = torch.zeros(len(data.photos.items), scored.shape[1])  # of images that no search of the fold needs
        vectors[fold.validation.searches.rows], vectors[list(fold.train.rows)] = scored, fitted
        yield fold, vectors.numpy()
    elif best.epochs:
        if best.stage == "head":
            head = new_head(plan.folds[0], plan.head_spec)
            head.load_state_dict({name.removeprefix("head."): value for name, value in best.state.items()})
            yield plan.folds[0], head(data.search_features).numpy()
    else:
        for fold in plan.folds:
            if best.origin in (FROZEN, POOLED):
                yield fold, (data.baseline if best.origin == FROZEN else data.search_features).numpy()
            else:
                solved: BlendHead = new_head(fold, plan.head_spec)
                solve(solved, fold).fill(solved, plan.head_params)
                yield fold, solved(data.search_features).numpy()


def _mean(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in found])) for name in (found[0] if found else {})}
