"""The backbone that needs no weights: colour and texture statistics over a spatial pyramid.

It stands in where pretrained weights cannot be had. Each pixel votes softly for a colour and for the direction of its
gradient at two scales; votes are averaged over the cells of a grid and square-rooted, so that dot products compare
distributions (Hellinger). Colours follow van de Sande et al., Evaluating Color Descriptors (TPAMI 2010), gradients
Dalal and Triggs, Histograms of Oriented Gradients (CVPR 2005).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.image import ImageSettings

IMAGE = ImageSettings(resize=144, crop=128, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))
_LIGHT_BINS, _CHROMA_BINS, _DIRECTIONS = 8, 10, 9
_COLOUR_GRIDS, _GRADIENT_GRID = (1, 2, 3), 4  # cells along each side
_GRADIENT_WEIGHT = 0.5  # of the gradient block against the colour block, as lengths


class Descriptor(nn.Module):
    """(B, 3, 128, 128) in [0, 1] -> (B, F) non-negative statistics; nothing is learned."""

    def forward(self, images: Tensor) -> Tensor:
        """Colour block and gradient block, each of unit length, side by side."""
        colour = self._colours(F.avg_pool2d(images, 2))
        gradient = torch.cat([self._gradients(images), self._gradients(F.avg_pool2d(images, 4))], dim=1)
        return torch.cat([_unit(colour), _GRADIENT_WEIGHT * _unit(gradient)], dim=1)  # (B, F)

    def _colours(self, images: Tensor) -> Tensor:
        red, green, blue = images.unbind(1)  # (B, H, W) each
        light = (red + green + blue) / 3
        red_green = (red - green) / (red + green + 0.1)  # in about [-1, 1], little changed by brightness
        blue_yellow = (blue - (red + green) / 2) / (blue + (red + green) / 2 + 0.1)
        chroma = (
            _votes(red_green, -0.6, 0.6, _CHROMA_BINS)[:, :, None]
            * _votes(blue_yellow, -0.7, 0.7, _CHROMA_BINS)[:, None]
        )
        votes = torch.cat([chroma.flatten(1, 2), _votes(light, 0.0, 1.0, _LIGHT_BINS)], dim=1)  # (B, bins, H, W)
        return torch.cat([(_cells(votes, grid) / grid**2).sqrt().flatten(1) for grid in _COLOUR_GRIDS], dim=1)

    def _gradients(self, images: Tensor) -> Tensor:
        light = images.mean(1, keepdim=True).clamp_min(0).sqrt()  # (B, 1, H, W); the root evens out shadows
        across = light[:, :, 1:-1, 2:] - light[:, :, 1:-1, :-2]
        down = light[:, :, 2:, 1:-1] - light[:, :, :-2, 1:-1]
        strength = (across.square() + down.square()).sqrt()
        angles = torch.arange(_DIRECTIONS, device=images.device, dtype=images.dtype) * (math.pi / _DIRECTIONS)
        cosine = (
            across * angles.cos()[:, None, None] + down * angles.sin()[:, None, None]
        )  # (B, 9, H, W), times strength
        votes = strength * (cosine / strength.clamp_min(1e-4)).pow(
            8
        )  # a soft window around each direction, blind to sign
        cells = _cells(votes, _GRADIENT_GRID)  # (B, 9, 4, 4)
        local = cells / (
            F.avg_pool2d(cells.sum(1, keepdim=True), 3, stride=1, padding=1) + 0.01
        )  # contrast of the surround
        return local.flatten(1).sqrt()


def _votes(values: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Soft votes (B, bins, H, W) of values (B, H, W): each is shared by the two nearest of `bins` centres."""
    place = ((values - low) / (high - low)).clamp(0, 1)[:, None] * (bins - 1)
    centres = torch.arange(bins, device=values.device, dtype=values.dtype)[:, None, None]
    return (1 - (place - centres).abs()).clamp_min(0)


def _cells(votes: Tensor, grid: int) -> Tensor:
    """Mean votes (B, bins, grid, grid) in the cells of a grid; they overlap where the size does not divide."""
    size = votes.shape[-1]
    step = size // grid
    return F.avg_pool2d(votes, size - step * (grid - 1), stride=step)


def _unit(block: Tensor) -> Tensor:
    return F.normalize(block, dim=1)
