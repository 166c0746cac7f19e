"""One stage of training: which weights are updated, on which batches, and how their state is scored.

`HeadStage` trains the head on cached features; `TopStage` and `WholeStage` in backbone_stages.py also train the last
stage of the backbone, or all of it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dmlcli.embeddings import Vectors
from dmlcli.learn.data import class_balance
from dmlcli.learn.data.samplers import batches
from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import distributed
from dmlcli.learn.training.loop import Batch, Epoch, fit
from dmlcli.learn.training.loss_setup import initial_loss
from dmlcli.learn.training.state import TrainerState
from dmlcli.learn.validation.training_data import Fold, TrainPart

State = dict[str, Tensor]


class Evaluation(NamedTuple):
    """What a network gives for the images of a fold, and its weights; of worker processes, nothing."""

    vectors: Vectors | None  # (V, D), of the validation images; None where nothing is held out
    state: State
    fitted: Vectors | None = None  # (N, D), of the images that were fitted on, where the backbone was trained


NOTHING = Evaluation(None, {})


class Stage(ABC):
    """A stage of training in one fold.

    Attributes:
        trainer: the modules that are trained, with the optimizer.
    """

    trainer: TrainerState

    def __init__(self, fold: Fold, recipe: Recipe) -> None:
        self.fold, self.recipe = fold, recipe

    @abstractmethod
    def embed(self, inputs: Tensor) -> Tensor:
        """Return embeddings (B, D), not normalized, of the inputs (B, ...) of a batch."""

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 1."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Return unit embeddings of the fold's images, and the weights that gave them."""

    def averaged_evaluation(self) -> Evaluation:
        """Return the same of the moving average of the weights, where there is one."""
        with self.trainer.averaged():
            return self.evaluate()

    def fit(self, until: Callable[[], float] = lambda: math.inf) -> Iterator[Epoch]:
        """Train, and yield each epoch, until `trainer.epochs` are done or `time.monotonic()` reaches `until()`."""
        return fit(self.embed, self.trainer, self.batches, until)

    def _rows(self, epoch: int) -> Iterator[list[int]]:
        """Yield the rows of each batch, by the sampler of the recipe, or that of its loss."""
        return batch_rows(self.fold.train, self.recipe, str(self.trainer.loss.sampler), epoch)


class HeadStage(Stage):
    """Trains the discriminative part of the head on cached features."""

    def __init__(self, head: BlendHead, fold: Fold, recipe: Recipe) -> None:
        super().__init__(fold, recipe)
        self.head, self._views = head, head.before(fold.train.features)  # (V, N, F)
        self._flat, self._labels = fold.train.features.flatten(0, 1), fold.train.labels.repeat(len(self._views))
        loss = initial_loss(recipe, head, fold.train, self._flat, self._labels)
        self.trainer = TrainerState(recipe, loss, head=head.discriminative)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return embeddings of features (B, F)."""
        embeddings: Tensor = self.head.discriminative.train()(inputs)
        return embeddings

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield features, each of a random view."""
        rng = torch.Generator().manual_seed(self.recipe.seed + epoch)
        for rows in self._rows(epoch):
            views = torch.randint(len(self._views), (len(rows),), generator=rng)
            own = distributed.shard(len(rows))
            yield self._views[views[own], rows[own]], self.fold.train.labels[rows]

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Set the prototypes of the head, then embed the cached features of the validation images."""
        self.head.eval()
        self.head.set_prototypes(self._flat, self._labels)
        if not distributed.is_main():
            return NOTHING
        validation = self.fold.validation
        vectors = self.head(validation.features).numpy() if validation else None
        return Evaluation(vectors, copy_state(self.head, "head."))


def batch_rows(train: TrainPart, recipe: Recipe, sampler: str, epoch: int) -> Iterator[list[int]]:
    """Yield the rows of each batch of an epoch.

    Args:
        train: the images of the fold.
        recipe: the batch size, and the sampler, if it names one.
        sampler: what the loss needs, used where the recipe names none.
        epoch: counted from 1; each draws other batches.
    """
    labels = train.labels.tolist()
    return batches(
        recipe.sampler or class_balance.sampler(sampler, labels, train.sources),
        labels,
        recipe.batch_size,
        recipe.seed + epoch,
        per_label=recipe.images_per_product or class_balance.images_per_product(labels),
        categories=train.categories,
        sources=train.sources,
    )


def copy_state(module: nn.Module, prefix: str = "") -> State:
    """Return copies of a module's weights on the CPU, each name with the prefix."""
    return {f"{prefix}{name}": value.detach().cpu().clone() for name, value in module.state_dict().items()}
