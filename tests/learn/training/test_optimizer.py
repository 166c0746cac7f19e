"""Which parameters move, at which pace, with which optimizer."""

import pytest
import torch
import torchvision
from torch import nn

from dmlcli.learn import losses
from dmlcli.learn.recipe import OPTIMIZERS, Recipe
from dmlcli.learn.training import optimizer


def parts() -> tuple[nn.Linear, nn.Sequential, nn.Module]:
    torch.manual_seed(0)
    return nn.Linear(6, 4), nn.Sequential(nn.Linear(10, 8), nn.Linear(8, 6)), losses.build("proxy-anchor", 5, 4)


def rates(recipe: Recipe) -> dict[int, float]:
    """The learning rate of each parameter, by its id."""
    head, backbone, loss = parts_of
    groups = optimizer.groups(recipe, head, backbone, loss)
    return {id(p): group["lr"] for group in groups for p in group["params"]}


parts_of = parts()


def test_factors_of_backbone_and_loss() -> None:
    head, backbone, loss = parts_of
    found = rates(Recipe(learning_rate=1e-2, backbone_factor=0.5, loss_factor=7))
    assert found[id(head.weight)] == 1e-2
    assert found[id(backbone[0].weight)] == found[id(backbone[1].bias)] == 5e-3
    assert found[id(loss.proxies)] == pytest.approx(7e-2)
    assert rates(Recipe(learning_rate=1e-2))[id(loss.proxies)] == pytest.approx(1.0)  # a hundred times, as it states


def test_each_block_moves_slower_than_the_one_after_it() -> None:
    _, backbone, _ = parts_of
    found = rates(Recipe(learning_rate=1e-2, backbone_factor=0.5, layer_decay=0.8))
    assert found[id(backbone[1].weight)] == pytest.approx(5e-3)
    assert found[id(backbone[0].weight)] == pytest.approx(4e-3)


@pytest.mark.parametrize(
    ("name", "early", "late", "blocks"),
    [
        ("resnet18", "conv1.weight", "layer4.1.bn2.weight", 6),
        ("mobilenet_v2", "features.0.0.weight", "features.18.0.weight", 19),
        ("vit_b_16", "conv_proj.weight", "encoder.layers.encoder_layer_11.mlp.0.weight", 13),
        ("convnext_tiny", "features.0.0.weight", "features.7.0.block.0.weight", 8),
        ("densenet121", "features.conv0.weight", "features.denseblock4.denselayer1.norm1.weight", None),
    ],
)
def test_depth_follows_the_blocks_of_real_networks(name: str, early: str, late: str, blocks: int | None) -> None:
    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None)
    found = optimizer.depths(network)
    depth = {id(p): number for number, members in found.items() for p in members}
    named = dict(network.named_parameters())
    assert len(depth) == len(named)
    assert depth[id(named[early])] < depth[id(named[late])]
    assert sorted(depth[id(p)] for p in named.values()) == [depth[id(p)] for p in named.values()]
    if blocks is not None:
        assert depth[id(named[late])] - depth[id(named[early])] in (blocks - 1, blocks - 2)


def test_what_is_frozen_stays_out() -> None:
    head, backbone, loss = parts()
    backbone[0].requires_grad_(False)
    groups = optimizer.groups(Recipe(), head, backbone, loss)
    trained = {id(p) for group in groups for p in group["params"]}
    assert id(backbone[0].weight) not in trained and id(backbone[1].weight) in trained


@pytest.mark.parametrize("word", sorted(OPTIMIZERS))
def test_every_optimizer_takes_its_settings_and_lowers_the_loss(word: str) -> None:
    x = torch.randn(16, 10, generator=torch.Generator().manual_seed(0))
    head = nn.Linear(10, 1)
    nn.init.ones_(head.weight)
    groups = optimizer.groups(Recipe(learning_rate=1e-2), head, None, nn.Identity())
    built = optimizer.build(Recipe(optimizer=word, learning_rate=1e-2), groups)
    first = head(x).square().mean().item()
    for _ in range(20):
        built.zero_grad()
        head(x).square().mean().backward()
        built.step()
    assert head(x).square().mean().item() < first
    other = optimizer.build(Recipe(optimizer="adam:eps=1,amsgrad=true,beta1=0.5"), groups)
    assert (other.defaults["eps"], other.defaults["amsgrad"], other.defaults["betas"]) == (1.0, True, (0.5, 0.999))


@pytest.mark.parametrize(("clip", "expected"), [("value:2", [2, -2]), ("norm:5", [3, -4]), ("none", [30, -40])])
def test_gradients_are_clipped_as_asked(clip: str, expected: list[float]) -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([30.0, -40.0])
    optimizer.clip(Recipe(clip=clip).clip_spec, [parameter])
    assert parameter.grad.tolist() == pytest.approx(expected, rel=1e-5)
