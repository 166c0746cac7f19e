"""The head without a gradient step: principal components and shrinkage LDA, by their definitions."""

import pytest
import torch
from torch import Tensor

from dmlcli.learn.networks import lda
from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.networks.lda import HeadParams, ShrinkageLDA, _strongest, split_dim


def sample(labels: int = 4, each: int = 20, features: int = 6) -> tuple[Tensor, Tensor]:
    """Products apart along the first axis alone, while the second axis varies most and means nothing."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(labels).repeat_interleave(each)
    x = 0.1 * torch.randn(labels * each, features, generator=generator)
    x[:, 0] += y.float()
    x[:, 1] += 5 * torch.randn(len(x), generator=generator)
    return x, y


def test_the_tuned_part_looks_where_products_differ_not_where_images_do() -> None:
    x, y = sample()
    head = BlendHead(6, 1, 1)
    ShrinkageLDA(x, y).fill(head, HeadParams(0.01, 0.5, 0.0))
    weight = head.discriminative.linear.weight[0]
    assert weight.abs().argmax() == 0 and weight[0].abs() > 20 * weight[1].abs()


def test_weights_count_as_copies_would() -> None:
    x, y = sample()
    copies = torch.arange(len(x)) % 3 + 1
    weighted, copied = BlendHead(6, 6, 3), BlendHead(6, 6, 3)
    ShrinkageLDA(x, y, copies.float()).fill_discriminative(weighted, 0.3)
    ShrinkageLDA(x.repeat_interleave(copies, 0), y.repeat_interleave(copies)).fill_discriminative(copied, 0.3)
    with torch.no_grad():
        found, expected = (
            torch.nn.functional.normalize(weighted.discriminative(x)),
            torch.nn.functional.normalize(copied.discriminative(x)),
        )
    assert torch.allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_the_base_part_whitens_what_varies_within_products() -> None:
    """All components together: x S^-1 x' is left of the centered features, S with a shrinkage of 1."""
    x, y = sample()
    head = BlendHead(6, 6, 3)
    ShrinkageLDA(x, y).fill(head, HeadParams(1.0, 0.5, 0.0))
    centered = (x - x.mean(0)).double()
    within = x.double() - torch.stack([x[y == label].double().mean(0) for label in range(4)])[y]
    scatter = within.T @ within / len(x)
    scatter += scatter.diagonal().mean() * torch.eye(6)
    with torch.no_grad():
        z = head.whitened(x).double()
    assert torch.allclose(z @ z.T, centered @ torch.linalg.inv(scatter) @ centered.T, atol=1e-3)


def test_many_features_give_the_components_that_few_give() -> None:
    """The short way to the strongest components, which many features take, ends where the exact one does."""
    torch.manual_seed(0)
    strengths = 0.8 ** torch.arange(300.0)
    rows = torch.randn(500, 300) * strengths
    short, exact = _strongest(rows, 8), torch.linalg.svd(rows).Vh[:8].T
    overlap = torch.linalg.svdvals(short.T @ exact)
    assert short.shape == (300, 8) and overlap.min() > 0.999


def test_the_tuned_part_whitens_what_products_vary_within() -> None:
    x, y = sample()
    head = BlendHead(6, 3, 3)
    ShrinkageLDA(x, y).fill(head, HeadParams(1e-6, 0.5, 0.0))
    with torch.no_grad():
        z = head.discriminative(x)
        within = z - torch.stack([z[y == label].mean(0) for label in range(4)])[y]
        covariance = within.T @ within / len(x)
    assert torch.allclose(covariance / covariance[0, 0], torch.eye(3), atol=1e-2)
    assert z.norm(dim=-1).mean() == pytest.approx(1, abs=1e-3)


def test_more_shrinkage_looks_more_like_the_plain_means() -> None:
    x, y = sample()
    forms, solved = [], ShrinkageLDA(x, y)
    for shrinkage in (0.01, 1e6):
        head = BlendHead(6, 3, 1)
        solved.fill_discriminative(head, shrinkage)
        forms.append(head.discriminative.linear.weight[0] / head.discriminative.linear.weight[0].norm())
    prototypes = torch.stack([x[y == label].mean(0) for label in range(4)]) - x.mean(0)
    plain = torch.linalg.svd(prototypes).Vh[0]
    assert (forms[1] @ plain).abs() > 0.999 > (forms[0] @ plain).abs()


@pytest.mark.parametrize(("labels", "each", "features"), [(2, 1, 5), (2, 2, 3), (9, 1, 4), (3, 30, 200), (40, 2, 3)])
def test_few_images_and_many_outputs_give_finite_heads(labels: int, each: int, features: int) -> None:
    x, y = sample(labels, each, features)
    head = BlendHead(features, *split_dim(64, labels))
    ShrinkageLDA(x, y).fill(head, HeadParams(0.1, 0.5, 0.0))
    assert all(torch.isfinite(parameter).all() for parameter in head.parameters())
    assert torch.isfinite(head(x)).all() and head(x).shape == (len(x), 64)


def test_equal_images_give_finite_heads() -> None:
    head = BlendHead(4, 4, 1)
    ShrinkageLDA(torch.ones(6, 4), torch.tensor([0, 0, 0, 1, 1, 1])).fill(head, HeadParams(0.3, 0.5, 0.0))
    assert torch.isfinite(head(torch.ones(2, 4))).all()


@pytest.mark.parametrize(
    ("dim", "labels", "expected"), [(256, 81, (176, 80)), (256, 1000, (128, 128)), (2, 2, (1, 1)), (64, 1, (63, 1))]
)
def test_the_length_is_shared_between_the_parts(dim: int, labels: int, expected: tuple[int, int]) -> None:
    assert split_dim(dim, labels) == expected


@pytest.mark.parametrize("kind", ["linear", "layernorm"])
def test_few_images_of_many_features_give_the_head_that_all_features_give(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directions are found among combinations of the images: what is new in other images has no part in them."""
    generator, y = torch.Generator().manual_seed(0), torch.arange(6).repeat_interleave(10)
    strong = torch.randn(8, 200, generator=generator) * 0.7 ** torch.arange(8)[:, None]
    x = torch.randn(60, 8, generator=generator) @ strong + 0.01 * torch.randn(60, 200, generator=generator)
    others = x + torch.randn(60, 200, generator=generator)
    found = []
    for few in (0.0, lda._FEW):
        monkeypatch.setattr(lda, "_FEW", few)
        head = BlendHead(200, 8, 5, discriminative=kind, products=6)
        with torch.no_grad():
            solved = ShrinkageLDA(head.before(x), y)
            solved.fill(head, HeadParams(0.3, 0.5, 1.0))
            embedded = head(others)
        found.append(embedded @ embedded.T)
    assert torch.allclose(found[0], found[1], atol=1e-5)
