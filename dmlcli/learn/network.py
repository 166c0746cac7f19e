"""The network: backbone, pooled features, head, unit embeddings."""

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.errors import ModelError, WeightsError
from dmlcli.image import ImageSettings
from dmlcli.learn.descriptor import Descriptor
from dmlcli.learn.weights import DESCRIPTOR, Weights
from dmlcli.model import Model

_HEADS = ("fc", "classifier", "heads", "head")  # what torchvision's networks call their last part


class IdentityHead(nn.Module):
    """The features themselves."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.dim = feature_dim
        self.settings: dict[str, Any] = {"kind": "identity"}

    def forward(self, features: Tensor) -> Tensor:
        """Unit (B, F) -> the same."""
        return features


class BlendHead(nn.Module):
    """Two linear views of the features side by side: `base` keeps what the backbone saw, `tuned` is trained.

    Each is made unit length and weighted so that the cosine of two embeddings is
    blend * cosine of the base parts + (1 - blend) * cosine of the tuned parts.
    """

    def __init__(self, feature_dim: int, base_dim: int, tuned_dim: int, blend: float = 0.5) -> None:
        super().__init__()
        self.dim = base_dim + tuned_dim
        self.base = nn.Linear(feature_dim, base_dim)
        self.tuned = nn.Linear(feature_dim, tuned_dim)
        self.blend: Tensor
        self.register_buffer("blend", torch.tensor(blend))

    @property
    def settings(self) -> dict[str, Any]:
        """What `build_head` needs to make an equal one."""
        return {"kind": "blend", "base_dim": self.base.out_features, "tuned_dim": self.tuned.out_features}

    def forward(self, features: Tensor) -> Tensor:
        """Unit (B, F) -> unit (B, D)."""
        base = self.blend.sqrt() * F.normalize(self.base(features), dim=-1)
        tuned = (1 - self.blend).sqrt() * F.normalize(self.tuned(features), dim=-1)
        return torch.cat([base, tuned], dim=-1)


Head = IdentityHead | BlendHead


class Network(nn.Module):
    """The whole path from pixels to vector; heads see features of unit length, which are the frozen embeddings."""

    def __init__(self, backbone: nn.Module, head: Head, image: ImageSettings) -> None:
        super().__init__()
        self.backbone, self.head, self.image = backbone, head, image

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> unit (B, D)."""
        embeddings: Tensor = self.head(self.features(images))
        return embeddings

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> unit (B, F)."""
        return F.normalize(self.backbone(images).float(), dim=-1)


def build_backbone(weights: Weights) -> nn.Module:
    """A backbone that maps (B, 3, H, W) to pooled features (B, F), with its weights loaded, in evaluation mode.

    Errors: WeightsError where the weights are those of another network.
    """
    backbone = _skeleton(weights.backbone)
    if weights.state is not None:
        try:
            state = _versioned(weights.state, backbone)
            missing, _ = backbone.load_state_dict(state, strict=False)  # what is unexpected is the classifier
        except RuntimeError as error:
            detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise WeightsError(f"{weights.source} are not weights of {weights.backbone}: {detail}") from error
        if missing:
            raise WeightsError(
                f"{weights.source} are not weights of {weights.backbone}: {missing[0]} and others are missing",
                hint="--backbone NAME says which network the file is of",
            )
    return backbone.eval()


def feature_dim(backbone: nn.Module, image: ImageSettings) -> int:
    """F: how many features the backbone gives, found by trying."""
    with torch.inference_mode():
        return int(backbone(torch.zeros(1, 3, image.crop, image.crop)).shape[1])


def build_head(feature_dim: int, settings: dict[str, Any]) -> Head:
    """A head from the settings that a model carries."""
    kinds = {"identity": IdentityHead, "blend": BlendHead}
    arguments = {key: value for key, value in settings.items() if key != "kind"}
    head: Head = kinds[settings["kind"]](feature_dim, **arguments)
    return head


def open_network(model: Model) -> Network:
    """The network of a saved model, in evaluation mode; raises ModelError where its weights do not fit."""
    record = model.record
    backbone = _skeleton(record.backbone).eval()
    network = Network(backbone, build_head(feature_dim(backbone, record.image), record.head), record.image)
    try:
        state = {name: torch.from_numpy(array) for name, array in model.weights().items()}
        network.load_state_dict(_versioned(state, network))
    except RuntimeError as error:
        raise ModelError(f"the weights of {model.folder} do not fit its recipe", hint="train it again") from error
    return network.eval()


def _versioned(state: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
    """The weights with the version marks that some networks (MNASNet) insist on, where a file has dropped them."""
    if hasattr(state, "_metadata"):
        return state
    marked = OrderedDict(state)
    marked._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    return marked


def _skeleton(name: str) -> nn.Module:
    """A torchvision network without its classifier: what stands before its first weights stays (pooling, norms)."""
    if name == DESCRIPTOR:
        return Descriptor()
    extra = (
        {"aux_logits": False, "init_weights": False, "transform_input": True}
        if name in ("googlenet", "inception_v3")
        else {}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: nn.Module = torchvision.models.get_model(name, weights=None, **extra)
    if name.startswith("squeezenet"):
        network.classifier = nn.AdaptiveAvgPool2d(1)
        return network
    head = next(attribute for attribute in _HEADS if hasattr(network, attribute))
    setattr(network, head, _before_weights(getattr(network, head)))
    if isinstance(getattr(network, "avgpool", None), nn.AdaptiveAvgPool2d):
        network.avgpool = nn.AdaptiveAvgPool2d(1)  # VGG and AlexNet pool to a grid
    return network


def _before_weights(head: nn.Module) -> nn.Module:
    if not isinstance(head, nn.Sequential):
        return nn.Identity()
    kept = nn.Sequential()
    for name, layer in head.named_children():
        if isinstance(layer, nn.Linear | nn.Dropout):
            if isinstance(layer, nn.Linear):
                break
            continue
        kept.add_module(name, layer)
    return kept
