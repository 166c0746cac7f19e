"""Backbones of every family give pooled features, and heads give unit vectors whose cosines are what they say."""

import pytest
import torch
from torch.nn import functional as F

from dmlcli.errors import UsageError, WeightsError
from dmlcli.image import ImageSettings
from dmlcli.learn.networks import heads
from dmlcli.learn.networks.backbone import Pool, build_backbone, default_pooling, empty_backbone, feature_dim
from dmlcli.learn.networks.descriptor import Descriptor
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import Weights, backbones, resolve

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
    backbone = build_backbone(start)
    images = torch.rand(2, 3, start.image.crop, start.image.crop, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone(images)
    assert features.shape == (2, FAMILIES[name] or features.shape[1])
    assert feature_dim(backbone, start.image) == features.shape[1]
    assert torch.isfinite(features).all() and not torch.equal(features[0], features[1])
    assert not backbone.training


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "regnet_y_400mf", "descriptor"])
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
        backbone = build_backbone(Weights(name, None, ImageSettings(), ""))
    assert all(parameter.shape[0] != 1000 for parameter in backbone.parameters())


def test_weights_of_another_network_are_refused() -> None:
    alexnet = build_backbone(resolve("alexnet", "none")).state_dict()
    with pytest.raises(WeightsError, match="does not hold weights of squeezenet1_1"):
        build_backbone(Weights("squeezenet1_1", alexnet, ImageSettings(), "file"))
    half = dict(list(alexnet.items())[:4])
    with pytest.raises(WeightsError, match="missing") as caught:
        build_backbone(Weights("alexnet", half, ImageSettings(), "file"))
    assert "--backbone" in caught.value.hint


def test_weights_of_another_network_are_named() -> None:
    """Also with a classifier of one's own, and by files from before batch norms counted their batches."""
    import torchvision

    state = torchvision.models.mobilenet_v3_small(num_classes=7).state_dict()
    with pytest.raises(WeightsError, match="they fit mobilenet_v3_small") as caught:
        build_backbone(Weights("squeezenet1_1", state, ImageSettings(), "file"))
    assert caught.value.hint == "--backbone mobilenet_v3_small"
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    built = build_backbone(Weights("mobilenet_v3_small", old, ImageSettings(), "file")).state_dict()
    own = [name for name in built if name in old]
    assert own and all(torch.equal(built[name], old[name]) for name in own)


def test_published_weights_fit_with_their_classifier() -> None:
    """A file as torchvision publishes it holds the classifier too, which is left out."""
    import torchvision

    whole = torchvision.models.squeezenet1_1(weights=None).state_dict()
    backbone = build_backbone(Weights("squeezenet1_1", whole, ImageSettings(), "file"))
    assert torch.equal(backbone.state_dict()["features.0.weight"], whole["features.0.weight"])


def check_poolings(name: str) -> None:
    """Whatever else is pooled, the features as published come first."""
    start = resolve(name, "none")
    published, several = build_backbone(start), build_backbone(start, default_pooling(name))
    getattr(several, "trunk", several).load_state_dict(published.state_dict())
    images = torch.rand(2, 3, start.image.crop, start.image.crop, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, more = F.normalize(published(images), dim=-1), several(images)
    assert torch.allclose(F.normalize(more[:, : one.shape[1]], dim=-1), one, atol=1e-5)
    assert default_pooling(name) is None or more.shape[1] >= 2 * one.shape[1]


@pytest.mark.parametrize("name", ["alexnet", "shufflenet_v2_x0_5", "descriptor"])
def test_more_poolings_begin_with_the_published_one(name: str) -> None:
    check_poolings(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_more_poolings_of_every_family_begin_with_the_published_one(name: str) -> None:
    check_poolings(name)


def test_the_earlier_map_is_the_last_one_of_twice_the_size() -> None:
    chain = build_backbone(resolve("resnet18", "none"), "two-maps")
    assert chain.layer3[1] is chain.steps()[chain.cut - 1]  # type: ignore[operator, index]


def test_the_descriptor_beside_a_network_sees_the_pixels_as_they_were() -> None:
    start = resolve("shufflenet_v2_x0_5", "none")
    pixels = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values)[:, None, None] for values in (start.image.mean, start.image.std))
    torch.manual_seed(0)
    maps, both = (build_backbone(start, pooling) for pooling in ("two-maps", "two-maps+descriptor"))
    both.trunk.load_state_dict(maps.state_dict())  # type: ignore[union-attr]
    with torch.inference_mode():
        expected = maps((pixels - mean) / std), Descriptor()(F.avg_pool2d(pixels, 2))
        found = both((pixels - mean) / std)
    parts = [F.normalize(part, dim=-1) for part in expected]
    assert torch.allclose(found, torch.cat(parts, dim=-1), atol=1e-4)
    assert set(both.state_dict()) == set(empty_backbone("shufflenet_v2_x0_5", "two-maps+descriptor").state_dict())


@pytest.mark.parametrize("pooling", ["avg", "max", "gem"])
def test_a_pooling_is_what_it_is_called(pooling: str) -> None:
    pool, maps = Pool(pooling), torch.rand(2, 3, 4, 4)
    expected = {"avg": maps.mean((2, 3)), "max": maps.amax((2, 3)), "gem": maps.pow(3).mean((2, 3)).pow(1 / 3)}
    assert torch.allclose(pool(maps).flatten(1), expected[pooling], atol=1e-5)


def test_a_backbone_without_a_map_cannot_be_pooled() -> None:
    with pytest.raises(UsageError, match="no map"):
        build_backbone(resolve("descriptor", "none"), "max")
    with pytest.raises(UsageError, match="two maps"):
        build_backbone(resolve("alexnet", "none"), "two-maps")


def test_a_mirrored_network_gives_an_image_and_its_mirror_image_one_embedding() -> None:
    backbone = build_backbone(resolve("descriptor", "none"))
    settings = ImageSettings(resize=144, crop=128)
    dim = feature_dim(backbone, settings)
    image = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain, mirrored = (Network(backbone, heads.IdentityHead(dim), settings, mirror=m) for m in (False, True))
        assert not torch.allclose(plain(image), plain(image.flip(-1)), atol=1e-3)
        assert torch.allclose(mirrored(image), mirrored(image.flip(-1)), atol=1e-5)
        assert torch.allclose(mirrored(image).norm(dim=-1), torch.ones(2), atol=1e-5)


def test_the_cosine_of_a_blend_is_the_blend_of_cosines() -> None:
    torch.manual_seed(0)
    head = heads.BlendHead(8, 5, 3)
    head.blend = torch.tensor(0.3)
    one, other = F.normalize(torch.randn(4, 8), dim=-1), F.normalize(torch.randn(4, 8), dim=-1)
    with torch.inference_mode():
        cosine = (head(one) * head(other)).sum(-1)
        base = F.cosine_similarity(head.whitened(one), head.whitened(other))
        tuned = F.cosine_similarity(head.discriminative(one), head.discriminative(other))
        assert torch.allclose(head(one).norm(dim=-1), torch.ones(4))
    assert torch.allclose(cosine, 0.3 * base + 0.7 * tuned, atol=1e-6)
    assert head.dim == 8


def test_prototype_attention_gathers_images_of_a_known_product_and_leaves_others_alone() -> None:
    head = heads.BlendHead(3, 2, 3, products=2).eval()
    with torch.no_grad():
        head.whitened.weight.zero_()
        head.discriminative.linear.weight.copy_(torch.eye(3))
        head.discriminative.linear.bias.zero_()
        head.set_prototypes(torch.eye(3)[:2], torch.tensor([0, 1]))
        known = F.normalize(torch.tensor([[1.0, 0.3, 0.0], [1.0, -0.3, 0.2]]), dim=-1)
        unknown = torch.tensor([[0.0, 0.3, 1.0]])
        before_known, before_unknown = head(known), head(unknown)
        head.prototype_attention = torch.tensor(2.0)
        apart, together = (before_known[0] @ before_known[1]), (head(known)[0] @ head(known)[1])
        assert together > apart
        assert torch.allclose(head(unknown), before_unknown, atol=1e-3)


@pytest.mark.parametrize("kind", heads.HEADS)
def test_a_head_is_made_again_from_its_settings(kind: str) -> None:
    head = heads.IdentityHead(8) if kind == "identity" else heads.BlendHead(8, 5, 3, discriminative=kind, products=2)
    again = heads.build_head(8, head.settings)
    again.load_state_dict(head.eval().state_dict())
    again.eval()
    x = torch.randn(3, 8)
    assert torch.equal(again(x), head(x)) and again.dim == head.dim


def test_images_that_pass_a_few_at_a_time_give_the_same_vectors_and_gradients() -> None:
    image = ImageSettings(resize=64, crop=64)
    images = torch.rand(19, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    backbone = build_backbone(resolve("mobilenet_v2", "none"))
    network = Network(backbone, heads.IdentityHead(feature_dim(backbone, image)), image)
    weight = next(backbone.parameters())
    whole = F.normalize(backbone(images), dim=-1)
    seen: list[int] = []
    backbone.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    few = network.features_of_view(images)
    assert sum(seen) == 19 and max(seen) == min(19, 4 * torch.get_num_threads())
    assert torch.allclose(few, whole, atol=1e-5)
    found, expected = (torch.autograd.grad(features[:, 0].sum(), weight)[0] for features in (few, whole))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert network.features_of_view(images[:0]).shape == (0, whole.shape[1])


def test_batch_norm_in_training_sees_the_whole_batch() -> None:
    image = ImageSettings(resize=64, crop=64)
    images = torch.rand(19, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    backbone = build_backbone(resolve("mobilenet_v2", "none"))
    norm = next(module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    Network(backbone.train(), heads.IdentityHead(1280), image).features_of_view(images)
    assert norm.num_batches_tracked == 1
