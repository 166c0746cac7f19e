"""`dmlcli compare`: the same head trained with each of several losses."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from dmlcli.embeddings import Vectors
from dmlcli.errors import TrainingError
from dmlcli.learn.networks.lda import CONSERVATIVE
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training.loop import fit
from dmlcli.learn.training.stages import head_stage
from dmlcli.learn.validation.head_selection import new_head, solve
from dmlcli.learn.validation.training_data import Fold


def compare_heads(fold: Fold, recipe: Recipe, specs: Iterable[str]) -> Iterator[tuple[str, Vectors | None, str]]:
    """Train a head with each loss, all from the most conservative LDA head, which itself comes first, under no name.

    Yields: the loss, the embeddings (len(validation.rows), D) after its last epoch, and what went wrong, if anything;
    None in place of embeddings where training diverged.
    """
    start = new_head(fold, recipe)
    solve(start, fold).fill(start, CONSERVATIVE)
    with torch.no_grad():
        yield "", start(fold.validation_features).numpy(), ""
    for spec in specs:
        torch.manual_seed(recipe.seed)
        head, trouble = copy.deepcopy(start), ""
        try:
            stage = head_stage(head, fold, replace(recipe, loss=spec))
            for epoch in fit(stage.embed, stage.trainer, stage.feed):
                trouble = epoch.diagnostics.trouble
        except TrainingError as error:
            yield spec, None, str(error)
            continue
        with torch.no_grad():
            yield spec, head.eval()(fold.validation_features).numpy(), trouble
