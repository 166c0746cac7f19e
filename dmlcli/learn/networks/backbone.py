"""The backbone: a network of torchvision or timm without its classifier, its last map pooled in one way or several.

Poolings see different things: the mean what there is much of, the maximum what stands out. Maps do too: the last one
knows what things are, an earlier and larger one their pattern. Together they tell products apart better than any one.
"""

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import chain

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.errors import UsageError, WeightsError
from dmlcli.feature_maps import EARLIER_SHARE, MAX_SHARE
from dmlcli.image import ImageSettings
from dmlcli.learn.networks import efficientnet_lite0, identify, timm_backbones
from dmlcli.learn.networks.descriptor import Descriptor
from dmlcli.learn.networks.pretrained import DESCRIPTOR, Weights

_HEADS = ("fc", "classifier", "heads", "head")  # what torchvision's networks call their last part
_STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
_PARTS = {  # networks that are a chain: the parts that lead up to the last map
    "densenet": ("features",),
    "efficientnet": ("features",),
    "mnasnet": ("layers",),
    "mobilenet": ("features",),
    "regnet": ("stem", "trunk_output"),
    "resnet": _STAGES,
    "resnext": _STAGES,
    "shufflenet": ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"),
    "wide_resnet": _STAGES,
}
_WITHOUT_MAP = (DESCRIPTOR, "vit_")  # their features are no pooled map
_BESIDE = "+descriptor"  # what a pooling ends with that has the built-in descriptor beside the maps
_DESCRIBED = 128  # pixels, about the side that the descriptor sees


def build_backbone(weights: Weights, pooling: str | None = None) -> nn.Module:
    """Return a backbone that maps (B, 3, H, W) to pooled features (B, F), with its weights loaded, in evaluation mode.

    Args:
        pooling: `avg`, `max`, `gem`, `avg+max`, or `two-maps`: both poolings, of the last map and of the last one
            that is twice its size, or `two-maps+descriptor`. None: as the network was published.

    Raises:
        WeightsError: the weights are those of another network.
        UsageError: the network has no feature map to pool.
    """
    trunk = _skeleton(weights.backbone, pooling)
    if weights.state is not None:
        try:
            state = _versioned(weights.state, trunk)
            missing, _ = trunk.load_state_dict(state, strict=False)  # what is unexpected is the classifier
        except RuntimeError as error:
            raise _of_another_network(weights, "tensors of other shapes") from error
        missing = [name for name in missing if not name.endswith(Pool.LEARNED) and not identify.is_counter(name)]
        if missing:
            raise _of_another_network(weights, f"{missing[0]} is missing")
    return _joined(trunk, pooling, weights.image)


def _of_another_network(weights: Weights, detail: str) -> WeightsError:
    """Return the error for weights that do not fit the backbone, naming the network that they do fit."""
    assert weights.state is not None
    fits = identify.network_of(weights.state)
    return WeightsError(
        f"{weights.source} does not hold weights of {weights.backbone}: "
        + (f"they fit {fits}" if fits else f"{detail}, and no network of torchvision fits"),
        hint=f"--backbone {fits}" if fits else "--backbone NAME names the network, timm:NAME one of timm",
    )


def empty_backbone(name: str, pooling: str | None) -> nn.Module:
    """Return the same without weights, for those of a saved model to be put in."""
    return _joined(_skeleton(name, pooling), pooling, ImageSettings())


def default_pooling(name: str) -> str | None:
    """Return the default pooling of the features that heads are trained on: the richest that the backbone supports."""
    if name.startswith(_WITHOUT_MAP) or (name.startswith(timm_backbones.PREFIX) and not timm_backbones.parts(name)):
        return None
    is_chain = name.startswith((*_PARTS, timm_backbones.PREFIX))
    return f"two-maps{_BESIDE}" if is_chain else "avg+max"


def feature_dim(backbone: nn.Module, image: ImageSettings) -> int:
    """F: how many features the backbone gives, found by trying."""
    with torch.inference_mode():
        return int(backbone(torch.zeros(1, 3, image.crop, image.crop, device=device_of(backbone))).shape[1])


def device_of(*modules: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer of some modules; the CPU where they have none."""
    values = chain.from_iterable(chain(module.parameters(), module.buffers()) for module in modules)
    return next((value.device for value in values), torch.device("cpu"))


class Pool(nn.Module):
    """A map (B, C, H, W) to rows (B, C, 1, 1), or (2B, C, 1, 1): first the means of all images, then their maxima.

    Stacked in this way, whatever comes after (a norm, a flattening) treats the two alike.
    """

    LEARNED = "power"

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "gem":
            self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, maps: Tensor) -> Tensor:
        """Pool over H and W."""
        if self.kind == "gem":  # Radenovic et al., TPAMI 2018
            return maps.float().clamp_min(1e-6).pow(self.power).mean((2, 3), keepdim=True).pow(1 / self.power)
        pooled = []
        if "avg" in self.kind:
            pooled.append(maps.mean((2, 3), keepdim=True))
        if "max" in self.kind:
            pooled.append(maps.amax((2, 3), keepdim=True))
        return torch.cat(pooled)


class TwoPools(nn.Module):
    """A trunk that stacks two poolings, put side by side: (B, 3, H, W) -> (B, 2F), means first."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        """Return each pooling of unit length, times its share."""
        return self.side_by_side(self.trunk(images))

    def side_by_side(self, rows: Tensor) -> Tensor:
        """Stacked poolings (2B, F) -> (B, 2F)."""
        return _side_by_side(rows)


class WithDescriptor(nn.Module):
    """A trunk, and beside it the built-in descriptor of the same pixels: colors and patterns that no label called for.

    (B, 3, H, W) as the trunk wants them -> (B, F + E), both parts of unit length, the trunk's first.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, image: ImageSettings) -> None:
        super().__init__()
        self.trunk, self.descriptor = trunk, Descriptor()
        self.register_buffer("mean", torch.tensor(image.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(image.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Both, of the same images."""
        return self.joined(self.trunk(images), self.described(images))

    def described(self, images: Tensor) -> Tensor:
        """Return what the descriptor says (B, E)."""
        described: Tensor = self.descriptor(self.pixels(images))
        return described

    def pixels(self, images: Tensor) -> Tensor:
        """Return images as the descriptor sees them: in [0, 1] again, and of about its size."""
        return F.avg_pool2d(images * self.std + self.mean, max(1, round(images.shape[-1] / _DESCRIBED)))

    def joined(self, features: Tensor, described: Tensor) -> Tensor:
        """(B, F) of the trunk and (B, E) -> (B, F + E)."""
        return torch.cat([F.normalize(part.float(), dim=-1) for part in (features, described)], dim=-1)


class Chain(nn.Module):
    """The parts of a network one after the other, under the names they have there, then the pooling."""

    def __init__(self, network: nn.Module, names: tuple[str, ...], last: nn.Module, pooling: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, getattr(network, name))
        self.names, self.last, self.two_maps = names, last, pooling == "two-maps"
        self.pool = Pool("avg+max" if self.two_maps else pooling)
        self.cut = last_shrinking(self.steps())

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> pooled rows (B, F); with two maps (B, 2F + 2E), the means of the last one first."""
        return self.forward_top(self.forward_stem(images))

    def forward_stem(self, images: Tensor) -> Tensor:
        """Return the last map (B, E, h, w) that is larger than the last one of all."""
        for layer in self.steps()[: self.cut]:
            images = layer(images)
        return images

    def forward_top(self, maps: Tensor) -> Tensor:
        """Return what `forward` gives, from what `forward_stem` gives."""
        return self.forward_pools(maps, self.last_map(maps))

    def last_map(self, maps: Tensor) -> Tensor:
        """Return the last map of all, from what `forward_stem` gives."""
        for layer in self.steps()[self.cut :]:
            maps = layer(maps)
        last: Tensor = self.last(maps)
        return last

    def forward_pools(self, earlier: Tensor, last: Tensor) -> Tensor:
        """Return what `forward` gives, from the maps of `forward_stem` and `last_map`."""
        rows: Tensor = self.pool(last).flatten(1)
        if not self.two_maps:
            return rows
        return torch.cat([_side_by_side(rows), EARLIER_SHARE * _side_by_side(self.pool(earlier).flatten(1))], dim=-1)

    def steps(self) -> list[nn.Module]:
        """Return the parts in the order in which images pass them, those that are sequences taken apart."""
        parts = [getattr(self, name) for name in self.names]
        return [layer for part in parts for layer in (part if isinstance(part, nn.Sequential) else [part])]


@torch.inference_mode()
def last_shrinking(layers: Sequence[nn.Module], side: int = -1) -> int:
    """Return the number of the first layer after the last map that is larger than those that follow, found by trying.

    Args:
        side: which dimension of the maps is one of their sides.
    """
    images, sides = torch.zeros(1, 3, 64, 64, device=device_of(*layers)), []
    modes = [layer.training for layer in layers]
    for layer in layers:
        images = layer.eval()(images)
        sides.append(images.shape[side])
    for layer, training in zip(layers, modes, strict=True):
        layer.train(training)
    learns = [any(True for _ in layer.parameters()) for layer in layers]
    shrinks = [after for after in range(1, len(sides)) if sides[after - 1] > sides[after] and any(learns[after:])]
    return max(shrinks)


def _side_by_side(rows: Tensor) -> Tensor:
    """Stacked means and maxima (2B, F) to (B, 2F): each of unit length, times its share."""
    means, maxima = F.normalize(rows.float(), dim=-1).view(2, -1, rows.shape[-1])
    return torch.cat([means, MAX_SHARE * maxima], dim=-1)


def _joined(trunk: nn.Module, pooling: str | None, image: ImageSettings) -> nn.Module:
    if pooling is not None and pooling.endswith(_BESIDE):
        trunk = WithDescriptor(trunk, image)
    return (TwoPools(trunk) if pooling == "avg+max" else trunk).eval()


def _versioned(state: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
    """Return the weights with the version marks that some networks (MNASNet) need and some files lack."""
    if hasattr(state, "_metadata"):
        return state
    marked = OrderedDict(state)
    marked._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    return marked


def _skeleton(name: str, pooling: str | None) -> nn.Module:
    """Return a network without its classifier; layers in front of its first weights (pooling, norms) are kept."""
    if pooling is not None and name.startswith(_WITHOUT_MAP):
        raise UsageError(f"{name} has no map of features to pool", hint="leave --pooling out")
    pooling = pooling.removesuffix(_BESIDE) if pooling else None
    if name == DESCRIPTOR:
        return Descriptor()
    if name.startswith(timm_backbones.PREFIX):
        return _of_timm(name, pooling)
    if name == efficientnet_lite0.NAME:
        return Chain(efficientnet_lite0.EfficientNetLite0(), ("features",), nn.Identity(), pooling or "avg")
    extra = (
        {"aux_logits": False, "init_weights": False, "transform_input": True}
        if name in ("googlenet", "inception_v3")
        else {}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: nn.Module = torchvision.models.get_model(name, weights=None, **extra)
    for family, parts in _PARTS.items():
        if name.startswith(family):
            return Chain(network, parts, nn.ReLU() if family == "densenet" else nn.Identity(), pooling or "avg")
    if pooling == "two-maps":
        raise UsageError(f"{name} is not a chain of layers, so it has no two maps", hint="--pooling avg+max")
    pool = Pool(pooling or "avg")
    if name.startswith("squeezenet"):
        network.classifier = pool
        return network
    head = next(attribute for attribute in _HEADS if hasattr(network, attribute))
    kept = _before_weights(getattr(network, head))
    setattr(network, head, kept)
    for place, layer in (("avgpool", network), ("0", kept)):  # MaxVit pools in its classifier, VGG to a grid
        if isinstance(getattr(layer, place, None), nn.AdaptiveAvgPool2d):
            setattr(layer, place, pool)
            return network
    return network


def _of_timm(name: str, pooling: str | None) -> nn.Module:
    network, parts = timm_backbones.build(name), timm_backbones.parts(name)
    if parts:
        return Chain(network, parts, nn.Identity(), pooling or "avg")
    if pooling is not None:
        raise UsageError(f"{name} is not a chain of layers, so its maps cannot be pooled", hint="leave --pooling out")
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
