"""Networks on other devices than the CPU, as far as that can be tested without one."""

import pytest
import torch
from torch import nn

from dmlcli.image import ImageSettings
from dmlcli.learn.networks.backbone import device_of, feature_dim, last_shrinking
from dmlcli.learn.networks.inference import fast_dtype, search_dtype

META = torch.device("meta")  # has shapes and no numbers; mixing it with the CPU is an error, as with a GPU


def test_the_feature_dim_of_a_network_is_found_where_the_network_is() -> None:
    assert feature_dim(nn.Sequential(nn.Conv2d(3, 5, 1), nn.Flatten()).to(META), ImageSettings(crop=2)) == 20


def test_the_last_stage_of_a_network_is_found_where_the_network_is() -> None:
    layers = [nn.ReLU(), nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 1)]
    assert last_shrinking([layer.to(META) for layer in layers]) == last_shrinking([nn.ReLU(), *map(_like, layers[1:])])


def _like(layer: nn.Module) -> nn.Module:
    assert isinstance(layer, nn.Conv2d)
    return nn.Conv2d(layer.in_channels, 4, layer.kernel_size[0], layer.stride[0], int(layer.padding[0]))


def test_the_device_of_modules_without_numbers_is_the_cpu() -> None:
    assert device_of(nn.ReLU()) == torch.device("cpu")
    assert device_of(nn.ReLU(), nn.Linear(1, 1, device=META)) == META


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_trains_in_bfloat16_and_validates_in_float32(name: str) -> None:
    assert fast_dtype(torch.device(name)) == torch.bfloat16
    assert search_dtype(torch.device(name)) is None
