"""What every loss does with inputs that it cannot use, with nothing, and with numbers that are not finite."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dmlcli.learn import losses
from dmlcli.learn.losses.interface import Loss

NAMES = losses.names()
WITH_REFERENCES = [name for name in NAMES if losses.describe(name).takes_references]


def make(name: str, **settings: Any) -> Loss:
    torch.manual_seed(0)
    return losses.load(name)(4, 8, **settings).double()


def batch(size: int = 12) -> tuple[Tensor, Tensor]:
    embeddings = torch.randn(size, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return embeddings.requires_grad_(), torch.arange(size) % 4


def value_and_gradient(loss: Loss, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)  # margin draws its triplets
    value = loss(embeddings, labels)
    return value, torch.autograd.grad(value, embeddings)[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[0], y), r"embeddings must have shape \(B, 8\), not \(8,\)"),
        (lambda x, y: (x[:, :7], y), r"embeddings must have shape \(B, 8\), not \(12, 7\)"),
        (lambda x, y: (x.long(), y), "embeddings must be floating point, not torch.int64"),
        (lambda x, y: (x, y[:, None]), r"labels must have shape \(12,\), one a row, not \(12, 1\)"),
        (lambda x, y: (x, y[:-1]), r"labels must have shape \(12,\), one a row, not \(11,\)"),
        (lambda x, y: (x, y.double()), "labels must be integers, not torch.float64"),
        (lambda x, y: (x, y > 1), "labels must be integers, not torch.bool"),
        (lambda x, y: (x, y - 1), "labels must be 0 to (3|above), not -1"),
        (lambda x, y: (x.to("meta"), y), "labels are on cpu, embeddings on meta"),
    ],
)
def test_inputs_of_a_wrong_kind_are_refused(name: str, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name)(*change(*batch()))


@pytest.mark.parametrize("name", NAMES)
def test_a_label_beyond_the_parameters_is_refused(name: str) -> None:
    loss, (embeddings, labels) = make(name), batch()
    if next(loss.parameters(), None) is None:
        assert loss(embeddings, labels + 1).isfinite()  # labels are but equal or not
    else:
        with pytest.raises(ValueError, match="labels must be 0 to 3, not 4"):
            loss(embeddings, labels + 1)


@pytest.mark.parametrize("name", NAMES)
def test_integer_labels_of_every_width_mean_the_same(name: str) -> None:
    loss, (embeddings, labels) = make(name), batch()
    expected = value_and_gradient(loss, embeddings, labels)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        value, gradient = value_and_gradient(loss, embeddings, labels.to(dtype))
        assert torch.equal(value, expected[0]) and torch.equal(gradient, expected[1])


@pytest.mark.parametrize("name", sorted({*NAMES} - {*WITH_REFERENCES}))
def test_references_are_refused_where_they_would_be_ignored(name: str) -> None:
    with pytest.raises(ValueError, match="does not take references"):
        make(name)(*batch(), *batch())


def test_the_original_lifted_structure_refuses_references_too() -> None:
    with pytest.raises(ValueError, match="LiftedStructure does not take references"):
        make("lifted-structure", form="original")(*batch(), *batch())


@pytest.mark.parametrize("name", WITH_REFERENCES)
def test_references_are_checked_like_the_batch(name: str) -> None:
    loss, (embeddings, labels) = make(name), batch()
    with pytest.raises(ValueError, match="one of them is missing"):
        loss(embeddings, labels, embeddings)
    with pytest.raises(ValueError, match=r"references must have shape \(B, 8\), not \(12, 7\)"):
        loss(embeddings, labels, embeddings[:, :7], labels)
    with pytest.raises(ValueError, match=r"reference_labels must have shape \(12,\)"):
        loss(embeddings, labels, embeddings, labels[1:])


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_is_a_zero_with_a_gradient(name: str) -> None:
    value, gradient = value_and_gradient(make(name), *batch(0))
    assert value == 0 and gradient.shape == (0, 8)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", NAMES)
def test_nan_in_is_nan_out(name: str, poison: float) -> None:
    """A comparison with NaN is false, so that a loss of hinges or a miner would find nothing left to learn: 0."""
    embeddings, labels = batch()
    with torch.no_grad():
        embeddings[5, 3] = poison
    value, gradient = value_and_gradient(make(name), embeddings, labels)
    assert value.isnan() and gradient.isnan().any()


@pytest.mark.parametrize("name", NAMES)
def test_lengths_that_overflow_are_not_taken_for_zeros(name: str) -> None:
    """Squares of 1e30 are infinite in float32; rows divided by an infinite length would be zeros, and the loss 0."""
    embeddings, labels = batch()
    value = make(name).float()((embeddings.detach().float() * 1e30).requires_grad_(), labels)
    assert not value.isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_nan_in_a_parameter_is_nan_out(name: str) -> None:
    loss = make(name)
    for parameter in loss.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    if next(loss.parameters(), None) is not None:
        assert not loss(*batch()).isfinite()


def test_a_sum_of_losses_checks_as_its_terms_do() -> None:
    total, (embeddings, labels) = losses.build("softmax+0.5*triplet", 4, 8).double(), batch()
    with pytest.raises(ValueError, match="WeightedSum does not take references"):
        total(embeddings, labels, embeddings, labels)
    with pytest.raises(ValueError, match="labels must be 0 to 3, not 4"):
        total(embeddings, labels + 1)


def test_sizes_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1, not 0 and 8"):
        losses.load("triplet")(0, 8)
