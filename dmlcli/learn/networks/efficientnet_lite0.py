"""EfficientNet-Lite0, the default backbone: a small ImageNet network whose weights come as a pip package.

Source: Tan and Le, EfficientNet, ICML 2019; the Lite variants by R. Liu, TensorFlow TPU models, 2020: no squeeze and
excitation, ReLU6 in place of Swish.
"""

import re
from collections.abc import Mapping
from math import ceil

from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.image import ImageSettings

NAME = "efficientnet_lite0"
IMAGE = ImageSettings(resize=256, crop=224, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_STEM, _LAST = 32, 1280  # channels
_STAGES = (  # expansion, kernel, stride, blocks, channels
    (1, 3, 1, 1, 16),
    (6, 3, 2, 2, 24),
    (6, 5, 2, 2, 40),
    (6, 3, 2, 3, 80),
    (6, 5, 1, 3, 112),
    (6, 5, 2, 4, 192),
    (6, 3, 1, 1, 320),
)
_EPS = 1e-3  # of batch norms, as in TensorFlow
_BLOCK_NAMES = {  # of the package and of timm; the first block of timm has no expansion, so its names move up by one
    **dict.fromkeys(("_expand_conv", "conv_pw"), "expand.conv"),
    **dict.fromkeys(("_depthwise_conv", "conv_dw"), "depthwise.conv"),
    **dict.fromkeys(("_project_conv", "conv_pwl"), "project.conv"),
    **dict.fromkeys(("_bn0", "bn1"), "expand.norm"),
    **dict.fromkeys(("_bn1", "bn2"), "depthwise.norm"),
    **dict.fromkeys(("_bn2", "bn3"), "project.norm"),
}
_FIRST_OF_TIMM = {"bn1": "depthwise.norm", "bn2": "project.norm", "conv_pw": "project.conv"}
_ENDS = {
    **dict.fromkeys(("_conv_stem", "conv_stem"), "features.0.conv"),
    **dict.fromkeys(("_conv_head", "conv_head"), "features.17.conv"),
    **dict.fromkeys(("_bn0", "bn1"), "features.0.norm"),
    **dict.fromkeys(("_bn1", "bn2"), "features.17.norm"),
}


class EfficientNetLite0(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to maps (B, 1280, H/32, W/32); `features` is a chain of layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNorm(3, _STEM, 3, stride=2)]
        channels = _STEM
        for expansion, kernel, stride, blocks, after in _STAGES:
            for number in range(blocks):
                layers.append(Block(channels, after, expansion, kernel, 1 if number else stride))
                channels = after
        self.features = nn.Sequential(*layers, ConvNorm(channels, _LAST, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the last maps (B, 1280, H/32, W/32)."""
        maps: Tensor = self.features(images)
        return maps


class ConvNorm(nn.Module):
    """A convolution, batch norm and, if it is `active`, ReLU6; padded as TensorFlow's "same"."""

    def __init__(
        self, channels: int, after: int, kernel: int, stride: int = 1, *, depthwise: bool = False, active: bool = True
    ) -> None:
        super().__init__()
        groups, padding = channels if depthwise else 1, kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(channels, after, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=_EPS)
        self.kernel, self.stride, self.active = kernel, stride, active

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        if self.stride > 1:
            maps = F.pad(maps, (*self._padding(maps.shape[-1]), *self._padding(maps.shape[-2])))
        maps = self.norm(self.conv(maps))
        return F.relu6(maps) if self.active else maps

    def _padding(self, side: int) -> tuple[int, int]:
        """Return the zeros before and after a side of so many pixels; the odd one comes after."""
        total = max(0, (ceil(side / self.stride) - 1) * self.stride + self.kernel - side)
        return total // 2, total - total // 2


class Block(nn.Module):
    """An inverted residual: 1 x 1 to more channels, a depthwise convolution, 1 x 1 to fewer."""

    def __init__(self, channels: int, after: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        between = channels * expansion
        self.expand = ConvNorm(channels, between, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(between, between, kernel, stride, depthwise=True)
        self.project = ConvNorm(between, after, 1, active=False)
        self.is_residual = stride == 1 and channels == after

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        projected: Tensor = self.project(self.depthwise(self.expand(maps)))
        return maps + projected if self.is_residual else projected


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of this network, from its own, timm's, or those of the pip package.

    The classifier, and what has no place in this network, keeps its name.
    """
    return {_own_name(name): value for name, value in state.items()}


def _own_name(name: str) -> str:
    if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
        return f"features.{int(found[1]) + 1}.{_BLOCK_NAMES.get(found[2], found[2])}.{found[3]}"
    if found := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)\.(\w+)", name):
        before = sum(blocks for *_, blocks, _ in _STAGES[: int(found[1])])
        names = _BLOCK_NAMES if int(found[1]) else _BLOCK_NAMES | _FIRST_OF_TIMM
        return f"features.{before + int(found[2]) + 1}.{names.get(found[3], found[3])}.{found[4]}"
    part, dot, tensor = name.partition(".")
    return f"{_ENDS.get(part, part)}{dot}{tensor}"
