"""A backbone in two parts: a frozen stem, and the last stage, which `--tune top` trains.

Maps at the cut can be kept, so that an epoch costs the top alone. Networks that shrink their maps are cut where they
last do, transformers before the last quarter of their blocks. Both halves share their weights with the whole.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.errors import UsageError
from dmlcli.learn.networks import descriptor, timm_backbones
from dmlcli.learn.networks.backbone import Chain, TwoPools, WithDescriptor, feature_dim, last_shrinking

_TOP = 4  # a transformer's top is a quarter of its blocks
_TOLERANCE = 1e-4  # within which two halves are the whole


@dataclass(frozen=True)
class SplitBackbone:
    """`top(stem(images))` is what the backbone gives."""

    stem: Callable[[Tensor], Tensor]  # images (B, 3, H, W) to maps (B, ...)
    top: nn.Module  # maps (B, ...) to features (B, F)


class Top(nn.Module):
    """Some parts of a network, and a function that runs them."""

    def __init__(self, run: Callable[[Tensor], Tensor], parts: Iterable[nn.Module]) -> None:
        super().__init__()
        self._run, self.parts = run, nn.ModuleList(parts)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, ...) -> (B, F)."""
        return self._run(maps)


def split_backbone(backbone: nn.Module, name: str) -> SplitBackbone:
    """Cut a backbone before its last stage; raises UsageError where the network called `name` has no obvious one."""
    if isinstance(backbone, Chain):
        return SplitBackbone(
            backbone.forward_stem,
            Top(backbone.forward_top, [*backbone.steps()[backbone.cut :], backbone.last, backbone.pool]),
        )
    if isinstance(backbone, WithDescriptor):
        return _beside(backbone, split_backbone(backbone.trunk, name))
    trunk: Any = backbone.trunk if isinstance(backbone, TwoPools) else backbone
    if name.startswith("vit_"):
        return _cut_transformer(trunk)
    if name.startswith("maxvit"):
        return _around(backbone, lambda images: _in_turn([trunk.stem, *trunk.blocks[:-1]], images), _last_block(trunk))
    features = getattr(trunk, "features", None)
    if isinstance(features, nn.Sequential) and len(features):
        at = last_shrinking(list(features), side=1 if name.startswith("swin") else -1)  # swin's maps are (B, H, W, C)
        return _around(backbone, features[:at], _with_parts(trunk, features=features[at:]))
    if name.startswith(timm_backbones.PREFIX):
        for parts in _cut_timm(trunk):
            if _is_whole(trunk, parts, timm_backbones.image_settings(name).crop):
                return parts
    raise UsageError(
        f"{name} has no obvious last stage to cut before",
        hint="--tune head trains on its features, --tune all the whole of it",
    )


def _cut_transformer(vit: Any) -> SplitBackbone:
    """Of torchvision's vision transformer: tokens with the class token first."""
    blocks = list(vit.encoder.layers)
    at = len(blocks) - max(1, len(blocks) // _TOP)

    def stem(images: Tensor) -> Tensor:
        patches = vit._process_input(images)  # (B, T, F)
        tokens = torch.cat([vit.class_token.expand(len(patches), -1, -1), patches], dim=1)
        return _in_turn(blocks[:at], vit.encoder.dropout(tokens + vit.encoder.pos_embedding))

    def top(tokens: Tensor) -> Tensor:
        rows: Tensor = vit.encoder.ln(_in_turn(blocks[at:], tokens))
        return rows[:, 0]

    return SplitBackbone(stem, Top(top, [*blocks[at:], vit.encoder.ln]))


def _cut_timm(network: Any) -> Iterator[SplitBackbone]:
    """Yield the possible cuts of a timm network that is not a chain: a vision transformer, or a stem and stages."""
    if isinstance(blocks := getattr(network, "blocks", None), nn.Sequential) and hasattr(network, "_pos_embed"):
        at = len(blocks) - max(1, len(blocks) // _TOP)

        def stem(images: Tensor) -> Tensor:
            tokens: Tensor = network.patch_drop(network._pos_embed(network.patch_embed(images)))  # (B, T, F)
            tokens = blocks[:at](network.norm_pre(tokens))
            return tokens

        def top(tokens: Tensor) -> Tensor:
            rows: Tensor = network.forward_head(network.norm(blocks[at:](tokens)))
            return rows

        after = [part for name, part in network.named_children() if name in ("norm", "attn_pool", "fc_norm")]
        yield SplitBackbone(stem, Top(top, [*blocks[at:], *after]))
    for start, stages in (("stem", "stages"), ("patch_embed", "layers")):
        first, last = getattr(network, start, None), getattr(network, stages, None)
        if first is not None and isinstance(last, nn.Sequential) and len(last) > 1:
            top = _with_parts(network, **{start: nn.Identity(), stages: last[-1:]})
            yield SplitBackbone(nn.Sequential(first, *last[:-1]), top)


def _is_whole(network: nn.Module, parts: SplitBackbone, side: int) -> bool:
    """Return whether two halves, one after the other, give what the network gives: not read from anywhere but tried."""
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    images = images.to(next(network.parameters()).device)
    try:
        with torch.inference_mode():
            return torch.allclose(parts.top(parts.stem(images)), network(images), atol=_TOLERANCE)
    except (TypeError, RuntimeError, ValueError, AttributeError):
        return False


def _last_block(maxvit: Any) -> nn.Module:
    return _with_parts(maxvit, stem=nn.Identity(), blocks=maxvit.blocks[-1:])


def _around(backbone: nn.Module, stem: Callable[[Tensor], Tensor], top: nn.Module) -> SplitBackbone:
    """Return the same with the pooling around the trunk."""
    return SplitBackbone(stem, TwoPools(top) if isinstance(backbone, TwoPools) else top)


def _beside(backbone: WithDescriptor, parts: SplitBackbone) -> SplitBackbone:
    """Return the same with the descriptor beside the trunk: what it says goes along as more channels of the maps."""
    dim = feature_dim(backbone.descriptor, descriptor.IMAGE)

    def stem(images: Tensor) -> Tensor:
        maps = parts.stem(images)  # (B, E, h, w)
        area = maps.shape[2] * maps.shape[3]
        described = F.pad(backbone.described(images), (0, -dim % area))
        return torch.cat([maps, described.view(len(maps), -1, *maps.shape[2:]).to(maps.dtype)], dim=1)

    def top(maps: Tensor) -> Tensor:
        more = -(-dim // (maps.shape[2] * maps.shape[3]))
        return backbone.joined(parts.top(maps[:, :-more]), maps[:, -more:].flatten(1)[:, :dim])

    return SplitBackbone(stem, Top(top, [parts.top]))


def _with_parts(network: nn.Module, **parts: nn.Module) -> nn.Module:
    """Return the network with other modules in place of some; all that is not replaced is shared."""
    other = copy.copy(network)
    other.__dict__["_modules"] = {**network._modules, **parts}
    return other


def _in_turn(layers: Iterable[nn.Module], rows: Tensor) -> Tensor:
    for layer in layers:
        rows = layer(rows)
    return rows
