"""Which network a file of weights belongs to, from the names and shapes of its tensors."""

import warnings
from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor

_CLASSIFIERS = ("fc", "classifier", "heads", "head", "aux1", "aux2", "AuxLogits")  # differ with the number of classes
_TRIED = 8  # networks that are built to compare with; a classifier for few classes moves the size by a few places
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_COUNTER = "num_batches_tracked"  # of batch norms; older files do not have it

Shapes = dict[str, tuple[int, ...]]


def network_of(state: Mapping[str, Tensor]) -> str:
    """Return the name of the torchvision network that the weights fit, whatever its classifier; "" for none."""
    wanted = _shapes(state)
    size = sum(tensor.numel() for name, tensor in state.items() if not name.endswith(_BUFFERS))
    return next((name for name in _candidates(size) if _shapes_of(name) == wanted), "") if wanted else ""


def is_counter(name: str) -> bool:
    """Return whether a tensor counts the batches that a batch norm has seen, which older files do not have."""
    return name.endswith(_COUNTER)


def _candidates(size: int) -> list[str]:
    """Return the networks of torchvision that have about `size` weights, the nearest first."""
    names = torchvision.models.list_models(module=torchvision.models)
    sizes = {name: torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"] for name in names}
    return sorted(sizes, key=lambda name: abs(sizes[name] - size))[:_TRIED]


def _shapes_of(name: str) -> Shapes:
    """Return the shapes of a network's weights, without memory for them where it can be built so."""
    quick = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                network = torchvision.models.get_model(name, weights=None, **quick)
        except (NotImplementedError, RuntimeError):  # RegNet and Swin compute their layout with tensors
            network = torchvision.models.get_model(name, weights=None, **quick)
    return _shapes(network.state_dict())


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {
        name: tuple(tensor.shape)
        for name, tensor in state.items()
        if not name.startswith(tuple(f"{part}." for part in _CLASSIFIERS)) and not name.endswith(_COUNTER)
    }
