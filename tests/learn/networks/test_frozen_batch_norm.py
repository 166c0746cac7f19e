"""Frozen batch norms inside their convolutions: the same values and gradients, and nothing left behind."""

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn

from dmlcli.learn.networks.frozen_batch_norm import FrozenBatchNorms


class _Untraceable(nn.Module):
    """A network whose code looks at numbers, around parts that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.part(images)
        return found if images.sum() > 0 else -found


class _Other(nn.BatchNorm2d):
    """A batch norm that does more."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


def _twice(convolution: nn.Module) -> nn.Module:
    """A convolution whose result is used a second time, beside the batch norm."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = convolution, nn.BatchNorm2d(4)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.convolution(images)
            found: Tensor = self.norm(maps) + maps
            return found

    return Both()


class _Shared(_Untraceable):
    """Two parts that have a convolution in common."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Sequential(self.part[0], nn.BatchNorm2d(4))

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = super().forward(images) + self.other(images)
        return found


def _networks() -> dict[str, tuple[nn.Module, int]]:
    """Networks with the number of their batch norms that can be folded."""
    conv = nn.Conv2d(3, 4, 3)
    return {
        "mobilenet_v2": (torchvision.models.mobilenet_v2(weights=None), 52),
        "resnet18": (torchvision.models.resnet18(weights=None), 20),
        "with a bias": (nn.Sequential(conv, nn.BatchNorm2d(4)), 1),
        "of which parts can be followed": (_Untraceable(), 1),
        "in two parts": (_Shared(), 0),
        "in groups": (nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, padding=1), nn.BatchNorm2d(6)), 1),
        "used twice": (_twice(nn.Conv2d(3, 4, 3)), 0),
        "another kind": (nn.Sequential(nn.Conv2d(3, 4, 3), _Other(4)), 0),
        "in front of the convolution": (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), 0),
        "without weights": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), 0),
    }


@pytest.mark.parametrize("name", list(_networks()))
def test_values_and_gradients_are_the_same(name: str) -> None:
    torch.manual_seed(1)
    network, count = _networks()[name]
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
    network = network.eval().double()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    norms = FrozenBatchNorms(network)
    assert len(norms._pairs) == count

    def gradients() -> dict[str, Tensor | None]:
        network.zero_grad(set_to_none=True)
        output = network(images)
        (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
        return {"output": output.detach()} | {key: value.grad for key, value in network.named_parameters()}

    expected = gradients()
    with norms.folded():
        found = gradients()
    for key, value in expected.items():
        other = found[key]
        assert (value is None) == (other is None), key
        if value is not None and other is not None:
            assert torch.allclose(value, other, rtol=1e-6, atol=1e-9 * float(value.abs().max())), key


def test_the_module_is_as_before_afterwards() -> None:
    """Also after an error, and a copy of it then has a life of its own."""
    convolution = nn.Conv2d(3, 4, 3)
    network = nn.Sequential(convolution, nn.BatchNorm2d(4)).eval()
    names, norms = list(network.state_dict()), FrozenBatchNorms(network)
    with pytest.raises(KeyboardInterrupt), norms.folded():
        assert list(network.state_dict()) == names
        raise KeyboardInterrupt
    copied = copy.deepcopy(network)
    with torch.no_grad():
        convolution.weight.zero_()
    images = torch.rand(1, 3, 8, 8)
    assert "forward" not in vars(convolution) and not torch.equal(network(images), copied(images))
