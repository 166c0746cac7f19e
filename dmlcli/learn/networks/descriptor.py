"""The backbone that needs no weights: which colors, contrasts and slopes occur together in the middle of an image.

It is the fallback where pretrained weights are not available. A neighborhood of 4 x 4 cells is described by a few
numbers: the color of its cells, how much each varies inside, and which way light rises, all three as the coarsest waves
of a cosine transform. An image is described by the matrix of their second moments, neighborhoods near its center
counting most. The square root of that matrix evens out what is strong and what is weak. Sources: Tuzel, Porikli and
Meer, Region Covariance, ECCV 2006; Carreira et al., Semantic Segmentation with Second-Order Pooling, ECCV 2012; Li et
al., Towards Faster Training of Global Covariance Pooling Networks, CVPR 2018 (the root).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.feature_maps import CONSTANT, FINE_SHARE, LEAST, MIDDLE, ROUNDS
from dmlcli.image import ImageSettings

IMAGE = ImageSettings(resize=144, crop=128, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
_COARSE, _FINE = 4, 2  # pixels, side of a cell
_WINDOW = 4  # cells, side of a neighborhood
# light, red - green, yellow - blue
_OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (1.5, -1.5, 0.0), (0.75, 0.75, -1.5))
# of the six color numbers, on average over photos: what is not usual should count
_USUAL_COLOR, _USUAL_SLOPE = (0.593, 0.155, 0.288, 0.2, 0.104, 0.164), (0.234, 0.0, 0.0, 0.0, 0.0)
_CONTRAST = 4.0  # times; makes contrasts as large as colors
_SLOPES = (2.65, 3.4, 3.4, 2.5, 2.5)  # times: strength, direction (two numbers), axis (two numbers)
_COLOR_WAVES, _SLOPE_WAVES = (2, 4.0), (1, 3.0)  # the highest sum of half-waves across and down; gain over the mean


class Descriptor(nn.Module):
    """(B, 3, 128, 128) in [0, 1] -> (B, F) of about unit length; nothing is learned.

    What it multiplies with are buffers, and so part of a model's weights and of its fingerprint.
    """

    opponent: Tensor
    color_waves: Tensor
    slope_waves: Tensor
    usual_color: Tensor
    usual_slope: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("opponent", torch.tensor(_OPPONENT)[:, :, None, None])
        self.register_buffer("color_waves", _waves(len(_USUAL_COLOR), *_COLOR_WAVES))
        self.register_buffer("slope_waves", _waves(len(_USUAL_SLOPE), *_SLOPE_WAVES))
        self.register_buffer("usual_color", torch.tensor(_USUAL_COLOR)[:, None, None])
        self.register_buffer("usual_slope", torch.tensor(_USUAL_SLOPE)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Colors and slopes of coarse cells, and colors of fine ones, side by side."""
        device = images.device.type
        if torch.is_autocast_enabled(device):  # the root needs all digits
            with torch.autocast(device, enabled=False):
                return self.forward(images.float())
        return self.described(*self.neighborhoods(images))

    def neighborhoods(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers of all neighborhoods (B, D, H, W): of coarse cells, and of fine ones."""
        roots = images.clamp_min(0).sqrt()  # shadows are evened out
        coarse = torch.cat([self._colors(roots, _COARSE), self._slopes(roots, _COARSE)], dim=1)
        return coarse, self._colors(roots, _FINE)

    def described(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return the descriptor (B, F), from what `neighborhoods` gives."""
        return torch.cat([_together(coarse), FINE_SHARE * _together(fine)], dim=1)

    def _colors(self, roots: Tensor, cell: int) -> Tensor:
        """Return the mean color and contrast of each cell, as waves over each neighborhood."""
        colors = F.conv2d(roots, self.opponent)
        means = F.avg_pool2d(colors, cell)
        spread = (F.avg_pool2d(colors.square(), cell) - means.square()).clamp_min(1e-6).sqrt()
        numbers = torch.cat([means, _CONTRAST * spread], dim=1) - self.usual_color
        return F.conv2d(numbers, self.color_waves, groups=numbers.shape[1])

    def _slopes(self, roots: Tensor, cell: int) -> Tensor:
        """Return the brightness gradient of each cell: strength, direction, and axis (direction up to its sign)."""
        light = F.pad(roots.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        across = light[:, :, 1:-1, 2:] - light[:, :, 1:-1, :-2]
        down = light[:, :, 2:, 1:-1] - light[:, :, :-2, 1:-1]
        strength = (across.square() + down.square()).sqrt()
        some = strength.clamp_min(1e-4)
        axis = (across.square() - down.square()) / some, 2 * across * down / some  # at twice the angle
        slopes = (strength, across, down, *axis)
        numbers = torch.cat([by * F.avg_pool2d(one, cell) for by, one in zip(_SLOPES, slopes, strict=True)], dim=1)
        return F.conv2d(numbers - self.usual_slope, self.slope_waves, groups=numbers.shape[1])


def _waves(channels: int, highest: int, gain: float) -> Tensor:
    """Filters (channels * waves, 1, 4, 4): the cosine transform of a neighborhood, its finer waves times `gain`."""
    place = (torch.arange(_WINDOW) + 0.5) * (math.pi / _WINDOW)
    rows = [torch.cos(number * place) * (1.0 if number else 0.5**0.5) for number in range(highest + 1)]
    waves = [
        across[:, None] * down * (0.25 if a + d == 0 else 0.25 * gain)
        for a, across in enumerate(rows)
        for d, down in enumerate(rows)
        if a + d <= highest
    ]
    return torch.stack(waves)[:, None].repeat(channels, 1, 1, 1)


def _together(numbers: Tensor) -> Tensor:
    """Return the root of the weighted second moments of (B, D, H, W), its triangle (B, D (D + 1) / 2) normalized."""
    numbers = F.pad(numbers, (0, 0, 0, 0, 0, 1), value=CONSTANT)
    dim, side = numbers.shape[1:3]
    place = torch.linspace(-1, 1, side, device=numbers.device).square()
    weights = torch.exp(-MIDDLE * (place[:, None] + place)).flatten()
    rows = numbers.flatten(2)  # (B, D, H * W)
    moments = (rows * (weights / weights.sum())) @ rows.transpose(1, 2)  # (B, D, D)
    one = torch.eye(dim, device=numbers.device)
    trace = (moments * one).sum((1, 2), keepdim=True)
    root = _root(moments / trace + LEAST / dim * one)
    row, column = torch.triu_indices(dim, dim, device=numbers.device)
    twice = torch.where(row == column, 1.0, 2**0.5)  # so that lengths are those of the whole matrix
    return F.normalize(root.flatten(1)[:, row * dim + column] * twice, dim=1)


def _root(matrices: Tensor) -> Tensor:
    """Return square roots of positive matrices (B, D, D) of trace 1; small eigenvalues come out slightly too small."""
    one = torch.eye(matrices.shape[-1], device=matrices.device)
    root, inverse = matrices, one.expand_as(matrices)
    for _ in range(ROUNDS):
        step = 1.5 * one - 0.5 * inverse @ root
        root, inverse = root @ step, step @ inverse
    return root
