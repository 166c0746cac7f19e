"""A backbone cut in two gives what the whole gives, whatever its family, and only its top learns."""

import pytest
import torch
from torch import nn

from dmlcli.errors import UsageError
from dmlcli.learn.networks import split
from dmlcli.learn.networks.backbone import build_backbone, default_pooling
from dmlcli.learn.networks.pretrained import resolve

QUICK = ["squeezenet1_1", "shufflenet_v2_x0_5", "timm:test_vit", "timm:test_resnet"]
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vit_b_16",
    "timm:convnext_atto",
    "timm:efficientnet_lite0",
    "timm:test_mambaout",
]


def check(name: str, pooling: str | None) -> None:
    start = resolve(name, "none")
    torch.manual_seed(0)
    backbone = build_backbone(start, pooling)
    parts = split.split_backbone(backbone, name)
    images = torch.rand(2, 3, start.image.crop, start.image.crop)
    with torch.inference_mode():
        maps = parts.stem(images)
        assert torch.allclose(parts.top(maps), backbone(images), atol=1e-4)
    own = {id(parameter) for parameter in backbone.parameters()}
    top = {id(parameter) for parameter in parts.top.parameters()}
    assert top and top < own  # they are the backbone's own, and not all of them


@pytest.mark.parametrize("name", QUICK)
def test_two_halves_are_the_whole(name: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    check(name, default_pooling(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_two_halves_of_every_family_are_the_whole(name: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    check(name, None)
    check(name, default_pooling(name))


@pytest.mark.parametrize("name", ["googlenet", "descriptor"])
def test_what_has_no_obvious_last_stage_says_so(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} has no obvious last stage") as caught:
        split.split_backbone(nn.Identity(), name)
    assert "--tune all" in caught.value.hint
