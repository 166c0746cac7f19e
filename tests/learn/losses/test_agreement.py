"""Losses on random batches: equal to their definitions, to formulas in plain Python, and to pytorch-metric-learning."""

import inspect
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import losses as benchmark
from dmlcli.learn import losses
from tests.learn.losses import reference

DIM, LABELS, MANY = 6, 4, 1000
needs_theirs = pytest.mark.skipif(
    find_spec("pytorch_metric_learning") is None, reason="pytorch-metric-learning is not installed"
)
CONTESTS = [contest for contest in benchmark.contests() if contest.theirs and contest.same_value]


def random_batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Products of uneven size, images near their product or far from it: margins hold for some pairs only."""
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        labels = torch.randint(LABELS, (3 + number % 7,), generator=generator)
        yield around_centers(labels, (0.2, 0.5, 2.0)[number % 3], generator), labels


def regular_batches(count: int, in_blocks: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """2 to 4 products with 2 to 4 images each, or as many products as images of each."""
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        products, images = 2 + number % 3, 2 + (number if in_blocks else number // 3) % 3
        labels = torch.arange(products).repeat_interleave(images)
        yield around_centers(labels, (0.3, 0.7, 2.0)[number // 9 % 3], generator), labels


def around_centers(labels: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    centers = torch.randn(LABELS, DIM, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(labels), DIM, generator=generator, dtype=torch.float64)
    return (centers[labels] + spread * noise).requires_grad_()


def build(spec: str) -> Any:
    torch.manual_seed(0)
    return losses.build(spec, LABELS, DIM).double()


def value_of(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    torch.manual_seed(0)  # for a loss that draws its triplets
    value: Tensor = loss(embeddings, labels)
    return value


def assert_equals_definition(name: str, count: int) -> None:
    for number, (embeddings, labels) in enumerate(random_batches(count)):
        loss = build(name)
        value = value_of(loss, embeddings, labels)
        torch.manual_seed(0)
        expected = inspect.getmodule(type(loss)).definition(loss, embeddings, labels)  # type: ignore[union-attr]
        assert torch.allclose(value, expected, rtol=1e-9, atol=1e-9), f"batch {number}, {labels}"
        slope, wanted = (torch.autograd.grad(one, embeddings)[0] for one in (value, expected))
        assert torch.allclose(slope, wanted, rtol=1e-6, atol=1e-7), f"batch {number}, {labels}"


def assert_equals_reference(name: str, count: int) -> None:
    for number, (embeddings, labels) in enumerate(random_batches(count)):
        loss = build(name)
        parameters = {key: parameter.tolist() for key, parameter in loss.named_parameters()}
        expected = reference.FORMULAS[name](embeddings.tolist(), labels.tolist(), **parameters)
        value = value_of(loss, embeddings, labels).item()
        assert abs(value - expected) <= 1e-9 * max(1.0, abs(expected)), f"batch {number}, {labels}"


def assert_equals_theirs(contest: benchmark.Contest, count: int) -> None:
    for number, (embeddings, labels) in enumerate(regular_batches(count, contest.in_blocks)):
        if contest.spec == "angular":  # theirs leaves the negatives as they are
            embeddings = nn.functional.normalize(embeddings).detach().requires_grad_()
        ours, theirs = build(contest.spec), benchmark.theirs(contest, LABELS, DIM)
        if contest.parameter:
            given = getattr(theirs, contest.parameter).data.double()
            own = next(ours.parameters())
            own.data = (given if given.shape == own.shape else given.T).reshape(own.shape).clone()
            getattr(theirs, contest.parameter).data = given
        value, expected = ours(embeddings, labels), theirs(*contest.arguments(embeddings, labels)).double()
        if contest.spec == "multi-similarity" and expected == 0:
            continue  # theirs is 0 where its miner leaves a single pair of each kind
        assert torch.allclose(value, expected, rtol=1e-5, atol=1e-7), f"batch {number}, {labels}: {value}, {expected}"


@pytest.mark.parametrize("name", losses.names())
def test_ten_random_batches_equal_the_definition(name: str) -> None:
    assert_equals_definition(name, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", losses.names())
def test_a_thousand_random_batches_equal_the_definition(name: str) -> None:
    assert_equals_definition(name, MANY)


@pytest.mark.parametrize("name", sorted(reference.FORMULAS))
def test_ten_random_batches_equal_plain_python(name: str) -> None:
    assert_equals_reference(name, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(reference.FORMULAS))
def test_a_thousand_random_batches_equal_plain_python(name: str) -> None:
    assert_equals_reference(name, MANY)


@needs_theirs
@pytest.mark.filterwarnings("ignore::UserWarning")  # theirs indexes in a way that torch deprecates
@pytest.mark.parametrize("contest", CONTESTS, ids=lambda contest: contest.spec)
def test_nine_batches_equal_pytorch_metric_learning(contest: benchmark.Contest) -> None:
    """With the settings that the benchmark compares."""
    assert_equals_theirs(contest, 9)


@needs_theirs
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("contest", CONTESTS, ids=lambda contest: contest.spec)
def test_a_thousand_batches_equal_pytorch_metric_learning(contest: benchmark.Contest) -> None:
    assert_equals_theirs(contest, MANY)


@needs_theirs
def test_instance_equals_theirs_where_every_image_is_a_product() -> None:
    """With labels, theirs takes the number of a label for a row of the batch."""
    import pytorch_metric_learning.losses as their_losses

    embeddings, labels = next(random_batches(1))
    one_each = torch.arange(len(labels))
    expected = their_losses.InstanceLoss(gamma=64)(embeddings, one_each)
    assert torch.allclose(build("instance")(embeddings, one_each), expected)
