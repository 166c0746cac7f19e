"""The features of smaller poolings, taken out of those of the largest: side by side, each part has its own columns."""

from dataclasses import replace

from torch.nn import functional as F

from dmlcli.learn.networks import descriptor
from dmlcli.learn.networks.backbone import feature_dim
from dmlcli.learn.validation.training_data import TrainingData

_NESTED = ("avg", "avg+max", "two-maps", "two-maps+descriptor")  # each is the first columns of the next


def known(data: TrainingData) -> tuple[str, ...]:
    """Return the poolings whose features are among the cached ones, the cached one first; none if it is another."""
    pooling = data.backbone.feature_extractor.pooling
    if pooling not in _NESTED[1:]:
        return ()
    return tuple(reversed(_NESTED[: _NESTED.index(pooling) + 1]))


def with_pooling(data: TrainingData, pooling: str | None) -> TrainingData:
    """Return the data as `--pooling` would compute them.

    Args:
        data: with the features of a pooling.
        pooling: one of `known(data)`; None: that of the data.
    """
    cached = data.backbone.feature_extractor.pooling
    if pooling is None or pooling == cached:
        return data
    last = data.backbone.published.head.dim  # columns of the means of the last map; as many are its maxima
    columns = {"avg": last, "avg+max": 2 * last, "two-maps": data.views.shape[-1]}
    if cached == "two-maps+descriptor":
        columns["two-maps"] -= feature_dim(descriptor.Descriptor(), descriptor.IMAGE)
    return replace(data, views=F.normalize(data.views[..., : columns[pooling]], dim=-1))
