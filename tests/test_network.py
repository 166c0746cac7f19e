"""Backbones of every family give pooled features, and heads give unit vectors whose cosines are what they say."""

import pytest
import torch
from torch.nn import functional as F

from dmlcli.errors import WeightsError
from dmlcli.image import ImageSettings
from dmlcli.learn import network
from dmlcli.learn.weights import Weights, backbones, resolve

FAMILIES = {
    "resnet18": 512,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 576,
    "squeezenet1_1": 512,
    "shufflenet_v2_x0_5": 1024,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "regnet_y_400mf": 440,
    "mnasnet0_5": 1280,
    "vgg11": 512,
    "alexnet": 256,
    "googlenet": 1024,
    "inception_v3": 2048,
    "convnext_tiny": 768,
    "swin_t": 768,
    "vit_b_16": 768,
    "maxvit_t": 512,
    "descriptor": None,
}


def check_features(name: str) -> None:
    start = resolve(name, "none")
    backbone = network.build_backbone(start)
    images = torch.rand(2, 3, start.image.crop, start.image.crop, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone(images)
    assert features.shape == (2, FAMILIES[name] or features.shape[1])
    assert network.feature_dim(backbone, start.image) == features.shape[1]
    assert torch.isfinite(features).all() and not torch.equal(features[0], features[1])
    assert not backbone.training


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "descriptor"])
def test_a_backbone_gives_pooled_features(name: str) -> None:
    check_features(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_backbone_of_every_family_gives_pooled_features(name: str) -> None:
    check_features(name)


MEMORYLESS = [name for name in backbones() if name != "descriptor" and not name.startswith("regnet")]


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMORYLESS)  # regnets work with values while they are built
def test_every_backbone_that_is_offered_loses_its_classifier(name: str) -> None:
    """Built without memory: no layer of a thousand classes is left."""
    with torch.device("meta"):
        backbone = network.build_backbone(Weights(name, None, ImageSettings(), ""))
    assert all(parameter.shape[0] != 1000 for parameter in backbone.parameters())


def test_weights_of_another_network_are_refused() -> None:
    alexnet = network.build_backbone(resolve("alexnet", "none")).state_dict()
    with pytest.raises(WeightsError, match="not weights of squeezenet1_1"):
        network.build_backbone(Weights("squeezenet1_1", alexnet, ImageSettings(), "file"))
    half = dict(list(alexnet.items())[:4])
    with pytest.raises(WeightsError, match="missing") as caught:
        network.build_backbone(Weights("alexnet", half, ImageSettings(), "file"))
    assert "--backbone" in caught.value.hint


def test_published_weights_fit_with_their_classifier() -> None:
    """A file as torchvision publishes it holds the classifier too, which is left out."""
    import torchvision

    whole = torchvision.models.squeezenet1_1(weights=None).state_dict()
    backbone = network.build_backbone(Weights("squeezenet1_1", whole, ImageSettings(), "file"))
    assert torch.equal(backbone.state_dict()["features.0.weight"], whole["features.0.weight"])


def test_the_cosine_of_a_blend_is_the_blend_of_cosines() -> None:
    torch.manual_seed(0)
    head = network.BlendHead(8, 5, 3, blend=0.3)
    one, other = F.normalize(torch.randn(4, 8), dim=-1), F.normalize(torch.randn(4, 8), dim=-1)
    with torch.inference_mode():
        cosine = (head(one) * head(other)).sum(-1)
        base = F.cosine_similarity(head.base(one), head.base(other))
        tuned = F.cosine_similarity(head.tuned(one), head.tuned(other))
        assert torch.allclose(head(one).norm(dim=-1), torch.ones(4))
    assert torch.allclose(cosine, 0.3 * base + 0.7 * tuned, atol=1e-6)
    assert head.dim == 8


@pytest.mark.parametrize("head", [network.IdentityHead(8), network.BlendHead(8, 5, 3)])
def test_a_head_is_made_again_from_its_settings(head: network.Head) -> None:
    again = network.build_head(8, head.settings)
    again.load_state_dict(head.state_dict())
    x = torch.randn(3, 8)
    assert torch.equal(again(x), head(x)) and again.dim == head.dim
