"""Backbones of timm, `--backbone timm:NAME`: which there are, their pixels, their weights. timm is imported here alone.

A name with a tag (`timm:vit_small_patch16_224.dino`) is one checkpoint of a network, a name without one timm's default.
"""

import functools
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from dmlcli import progress
from dmlcli.errors import CannotRun, UsageError, WeightsError, nearest
from dmlcli.image import ImageSettings

PREFIX = "timm:"
_POOLING = ("global_pool", "head")  # what comes after the last map of timm's networks
_TOLERANCE = 1e-4


def check(name: str) -> None:
    """Raise UsageError for an unknown network or checkpoint, CannotRun where timm is not installed."""
    timm, known = _timm(), name.removeprefix(PREFIX)
    if timm.is_model(known):
        try:
            timm.models.get_pretrained_cfg(known)
            return
        except RuntimeError:
            arch = known.partition(".")[0]
            tags = timm.list_models(f"{arch}.*", pretrained=True) or [arch]
            raise UsageError(
                f"timm's {arch} has no checkpoint '{known.partition('.')[2]}'", hint=nearest(known, tags)
            ) from None
    raise UsageError(f"timm has no network '{known}'", hint=nearest(known, timm.list_models()))


def image_settings(name: str) -> ImageSettings:
    """Return the pixels that a checkpoint was trained on."""
    from timm.data import resolve_data_config

    config = _timm().models.get_pretrained_cfg(name.removeprefix(PREFIX))
    found: dict[str, Any] = resolve_data_config(pretrained_cfg=config.to_dict() if config else {})
    crop = int(found["input_size"][-1])
    return ImageSettings(
        resize=int(crop / found["crop_pct"]),
        crop=crop,
        interpolation=found["interpolation"] if found["interpolation"] in ("bilinear", "bicubic") else "bilinear",
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
    )


def published(name: str) -> tuple[dict[str, Tensor], str]:
    """Return the weights of a checkpoint and where they come from: timm's cache, else its download.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded.
    """
    known = name.removeprefix(PREFIX)
    config = _timm().models.get_pretrained_cfg(known)
    if config is None or not config.has_weights:
        raise WeightsError(f"timm has no weights for {known}", hint="--weights FILE names a file you have")
    progress.note(f"{name}: weights from timm's cache, or its download")
    try:
        network = _made(known, pretrained=True)
    except Exception as error:  # of the hub, of the network, of the file: each fails in its own way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"timm cannot load the weights of {known}: {reason}", hint="--weights FILE names a file you have"
        ) from error
    return network.state_dict(), f"timm {known} ({config.hf_hub_id or config.url})"


def build(name: str) -> nn.Module:
    """Return the network without its classifier, its weights random: (B, 3, H, W) to features (B, F) as published."""
    return _made(name.removeprefix(PREFIX), pretrained=False)


@functools.cache
def parts(name: str) -> tuple[str, ...]:
    """Return the parts in front of the last map, where the network is a chain of these and a mean; else ().

    That is not read from anywhere but tried.
    """
    network = build(name).eval()
    names = []
    for part, _ in network.named_children():
        if part in _POOLING:
            break
        names.append(part)
    side = image_settings(name).crop
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, maps = network(images), images
        try:
            for part in names:
                maps = getattr(network, part)(maps)
        except (TypeError, RuntimeError, ValueError):
            return ()
    is_chain = maps.ndim == 4 and maps.shape[1] == expected.shape[1]
    return tuple(names) if is_chain and torch.allclose(maps.mean((2, 3)), expected, atol=_TOLERANCE) else ()


def _made(name: str, *, pretrained: bool) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: nn.Module = _timm().create_model(name, pretrained=pretrained, num_classes=0)
    return network


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise CannotRun("timm: backbones need the extra timm", hint="pip install 'dmlcli[timm]'") from error
    return timm
