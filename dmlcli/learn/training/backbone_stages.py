"""The stages that train the backbone with the head: its last stage on cached maps, or the whole network on images."""

import copy
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli import progress
from dmlcli.catalog import Photo
from dmlcli.errors import TrainingError
from dmlcli.learn.data.activation_cache import taken
from dmlcli.learn.data.loader import features_of, random_views
from dmlcli.learn.networks.frozen_batch_norm import FrozenBatchNorms
from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.networks.inference import fast_dtype, forward_of, search_dtype
from dmlcli.learn.networks.lda import HeadParams, ShrinkageLDA
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.split import split_backbone
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import distributed
from dmlcli.learn.training.loop import Batch
from dmlcli.learn.training.loss_setup import initial_loss
from dmlcli.learn.training.stages import NOTHING, Evaluation, Stage, copy_state
from dmlcli.learn.training.state import TrainerState
from dmlcli.learn.validation.training_data import Fold, TrainPart

T = TypeVar("T", bound=Hashable)
_EVAL_BATCH = 128  # maps that go through the last stage at a time without a gradient


class BackboneStage(Stage):
    """What both stages share: a copy of the network, and its score with a head that is solved again."""

    def __init__(
        self, network: Network, fold: Fold, head_params: HeadParams, recipe: Recipe, device: torch.device
    ) -> None:
        super().__init__(fold, recipe)
        self.network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).eval()
        self.head_params, self.device, self._dtype = head_params, device, fast_dtype(device, recipe.precision)
        is_frozen = recipe.batch_norm == "frozen"
        distributed.share_batch_norm(self.network.head if is_frozen else self.network, device)
        self._batch_norms = FrozenBatchNorms(self.network.backbone if is_frozen else None)

    def _make_trainer(self) -> TrainerState:
        """Return the trainer of head and backbone, with proxies at the means of the fold's features."""
        train, head = self.fold.train, self.network.head
        features, labels = train.features[0].to(self.device), train.labels.to(self.device)
        loss = initial_loss(self.recipe, head, train, features, labels).to(self.device)
        trained = head.discriminative if isinstance(head, BlendHead) else head
        return TrainerState(self.recipe, loss, head=trained, backbone=self.network.backbone)

    def _score(
        self, fitted: Sequence[T], validation: Sequence[T], features: Callable[[Sequence[T]], Tensor]
    ) -> Evaluation:
        """Solve the head of a copy of the network for its present features, and embed the validation images.

        Args:
            fitted: the images of the fold.
            validation: those that are scored.
            features: computes features (N, F) of images; each process does so for its shard.
        """
        images = list(dict.fromkeys([*fitted, *(validation if self.fold.validation else [])]))  # most are in both
        found = distributed.map_sharded(images, features)
        if not distributed.is_main():
            return NOTHING
        scored, place = copy.deepcopy(self.network).cpu().eval(), {image: row for row, image in enumerate(images)}
        own = found[[place[image] for image in fitted]]
        if isinstance(scored.head, BlendHead):
            solve_head(scored.head, own, self.fold.train, self.head_params)
        if not self.fold.validation:
            return Evaluation(None, copy_state(scored))
        with torch.no_grad():
            vectors = scored.head(found[[place[image] for image in validation]]).numpy()
            return Evaluation(vectors, copy_state(scored), scored.head(own).numpy())


class TopStage(BackboneStage):
    """Trains the last stage of the backbone, and the head, on cached maps of the layers in front of it."""

    def __init__(
        self, network: Network, fold: Fold, head_params: HeadParams, recipe: Recipe, device: torch.device
    ) -> None:
        super().__init__(network, fold, head_params, recipe, device)
        backbone = self.network.backbone
        parts = split_backbone(backbone, fold.maps.model.record.backbone)
        backbone.requires_grad_(False)
        parts.top.requires_grad_(True)
        self._top, self._maps = parts.top, fold.maps.kept(parts.stem, device)
        self.trainer = self._make_trainer()

    def embed(self, inputs: Tensor) -> Tensor:
        """Return embeddings of maps (B, ...)."""
        self.network.head.train()
        self._top.train(self.recipe.batch_norm == "free")
        with self._batch_norms.folded():
            features = self._features(inputs, self._dtype)
        return self.network.head.raw(features)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield maps, each of a random view."""
        train, rng = self.fold.train, torch.Generator().manual_seed(self.recipe.seed + epoch)
        for chosen in progress.track(list(self._rows(epoch)), f"epoch {epoch}"):
            views = torch.randint(len(self._maps), (len(chosen),), generator=rng).tolist()
            rows, own = [train.rows[row] for row in chosen], distributed.shard(len(chosen))
            yield taken(self._maps, views[own], rows[own], self.device), train.labels[chosen].to(self.device)

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Score the state as that of a whole network, from the cached maps."""
        return self._score(self.fold.train.rows, self.fold.validation.searches.rows, self._search_features)

    def _features(self, maps: Tensor, dtype: torch.dtype | None) -> Tensor:
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            features: Tensor = self._top(maps)
        return F.normalize(features.float(), dim=-1)

    def _search_features(self, rows: Sequence[int]) -> Tensor:
        """Return features (N, F) as search sees images."""
        self._top.eval()
        dtype, found = search_dtype(self.device), []
        for start in range(0, len(rows), _EVAL_BATCH):
            batch = rows[start : start + _EVAL_BATCH]
            views = [
                taken(self._maps, [view] * len(batch), batch, self.device) for view in range(1 + self.network.mirror)
            ]
            with self._batch_norms.folded():
                features = [self._features(view, dtype) for view in views]
            found.append(F.normalize(torch.stack(features).sum(0), dim=-1).cpu())
        return torch.cat(found)


class WholeStage(BackboneStage):
    """Trains backbone and head on random views of the images, which are read again in each epoch."""

    def __init__(
        self, network: Network, fold: Fold, head_params: HeadParams, recipe: Recipe, device: torch.device
    ) -> None:
        super().__init__(network, fold, head_params, recipe, device)
        self.trainer = self._make_trainer()

    def embed(self, inputs: Tensor) -> Tensor:
        """Return embeddings of images (B, 3, H, W)."""
        network, dtype = self.network, self._dtype
        network.head.train()
        network.backbone.train(self.recipe.batch_norm == "free")
        autocast = torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)
        with autocast, self._batch_norms.folded():
            features = network.features_of_view(inputs.to(self.device, memory_format=torch.channels_last))
        return network.head.raw(features)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield random views of the images."""
        train, recipe, rows = self.fold.train, self.recipe, list(self._rows(epoch))
        own = (batch[distributed.shard(len(batch))] for batch in progress.track(rows, f"epoch {epoch}"))
        read = random_views(own, train.files, self.network.image, f"{recipe.seed}/{epoch}", recipe.augment)
        for batch, (_, images) in zip(rows, read, strict=True):
            yield images, train.labels[batch].to(self.device)

    def evaluate(self) -> Evaluation:
        """Score the state by features of the images, read once more."""
        forward = forward_of(self.network.headless(), self.device, search_dtype(self.device))

        def features(files: Sequence[Photo]) -> Tensor:
            with self._batch_norms.folded():
                return features_of(files, self.network.image, forward)

        return self._score(self.fold.train.files, self.fold.validation.files, features)


@torch.no_grad()
def solve_head(head: BlendHead, features: Tensor, train: TrainPart, head_params: HeadParams) -> None:
    """Set a head by LDA of the features of a fold.

    Args:
        head: set in place.
        features: (N, F) of the fold's images.
        train: their labels and weights.
        head_params: shrinkage, blend and prototype attention.

    Raises:
        TrainingError: the features are not finite.
    """
    if not features.isfinite().all():
        raise TrainingError("the backbone no longer gives finite numbers", hint="lower --learning-rate")
    ShrinkageLDA(head.before(features), train.labels, train.weights).fill(head, head_params)
