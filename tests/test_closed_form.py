"""The head without a gradient step: principal components and shrinkage LDA, by their definitions."""

import pytest
import torch
from torch import Tensor

from dmlcli.learn.closed_form import ClosedForm, split_dim
from dmlcli.learn.network import BlendHead


def sample(labels: int = 4, each: int = 20, features: int = 6) -> tuple[Tensor, Tensor]:
    """Products apart along the first axis alone, while the second axis varies most and means nothing."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(labels).repeat_interleave(each)
    x = 0.1 * torch.randn(labels * each, features, generator=generator)
    x[:, 0] += y.float()
    x[:, 1] += 5 * torch.randn(len(x), generator=generator)
    return x, y


def test_the_tuned_part_looks_where_products_differ_and_the_base_where_images_do() -> None:
    x, y = sample()
    head = BlendHead(6, 1, 1)
    ClosedForm(x, y).fill(head, 0.01)
    assert head.tuned.weight[0].abs().argmax() == 0 and head.base.weight[0].abs().argmax() == 1
    assert head.tuned.weight[0, 0].abs() > 20 * head.tuned.weight[0, 1].abs()


def test_the_base_part_keeps_distances() -> None:
    """All principal components together are a rotation of the centred features."""
    x, y = sample()
    head = BlendHead(6, 6, 3)
    ClosedForm(x, y).fill(head, 1.0)
    with torch.no_grad():
        z, centred = head.base(x), x - x.mean(0)
        assert torch.allclose(z @ z.T, centred @ centred.T, atol=1e-2)
        assert torch.allclose(head.base(x).mean(0), torch.zeros(6), atol=1e-4)


def test_the_tuned_part_whitens_what_products_vary_within() -> None:
    x, y = sample()
    head = BlendHead(6, 3, 3)
    ClosedForm(x, y).fill(head, 1e-6)
    with torch.no_grad():
        z = head.tuned(x)
        within = z - torch.stack([z[y == label].mean(0) for label in range(4)])[y]
        covariance = within.T @ within / len(x)
    assert torch.allclose(covariance / covariance[0, 0], torch.eye(3), atol=1e-2)
    assert z.norm(dim=-1).mean() == pytest.approx(1, abs=1e-3)


def test_more_shrinkage_looks_more_like_the_plain_means() -> None:
    x, y = sample()
    forms, solved = [], ClosedForm(x, y)
    for shrinkage in (0.01, 1e6):
        head = BlendHead(6, 3, 1)
        solved.fill(head, shrinkage)
        forms.append(head.tuned.weight[0] / head.tuned.weight[0].norm())
    means = torch.stack([x[y == label].mean(0) for label in range(4)]) - x.mean(0)
    plain = torch.linalg.svd(means).Vh[0]
    assert (forms[1] @ plain).abs() > 0.999 > (forms[0] @ plain).abs()


@pytest.mark.parametrize(("labels", "each", "features"), [(2, 1, 5), (2, 2, 3), (9, 1, 4), (3, 30, 200), (40, 2, 3)])
def test_few_images_and_many_outputs_give_finite_heads(labels: int, each: int, features: int) -> None:
    x, y = sample(labels, each, features)
    head = BlendHead(features, *split_dim(64, labels))
    ClosedForm(x, y).fill(head, 0.1)
    assert all(torch.isfinite(parameter).all() for parameter in head.parameters())
    assert torch.isfinite(head(x)).all() and head(x).shape == (len(x), 64)


def test_equal_images_give_finite_heads() -> None:
    head = BlendHead(4, 4, 1)
    ClosedForm(torch.ones(6, 4), torch.tensor([0, 0, 0, 1, 1, 1])).fill(head, 0.3)
    assert torch.isfinite(head(torch.ones(2, 4))).all()


@pytest.mark.parametrize(
    ("dim", "labels", "expected"), [(256, 81, (176, 80)), (256, 1000, (128, 128)), (2, 2, (1, 1)), (64, 1, (63, 1))]
)
def test_the_length_is_shared_between_the_parts(dim: int, labels: int, expected: tuple[int, int]) -> None:
    assert split_dim(dim, labels) == expected
