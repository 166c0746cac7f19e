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
from dmlcli.learn.losses.composition import SelfSupervised
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
        if contest.same_gradient:
            slope, wanted = (torch.autograd.grad(one, embeddings)[0] for one in (value, expected))
            floor = 1e-5 * float(wanted.abs().max())
            assert torch.allclose(slope, wanted, rtol=1e-4, atol=max(floor, 1e-7)), f"batch {number}, {labels}"


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
def test_triplets_on_cosines_are_half_the_loss_with_twice_the_margin() -> None:
    from pytorch_metric_learning import distances
    from pytorch_metric_learning import losses as their_losses

    theirs = their_losses.TripletMarginLoss(0.1, distance=distances.CosineSimilarity())
    for embeddings, labels in regular_batches(9, in_blocks=False):
        value = build("0.5*triplet:mining=batch-all,margin=0.2")(embeddings, labels)
        assert torch.allclose(value, theirs(embeddings, labels))


@needs_theirs
@pytest.mark.parametrize(
    ("spec", "theirs"), [("nt-xent", "NTXentLoss"), ("supcon", "SupConLoss"), ("nca:scale=1", "NCALoss")]
)
def test_two_views_equal_theirs(spec: str, theirs: str) -> None:
    import pytorch_metric_learning.losses as their_losses

    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(5, DIM, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    value = SelfSupervised(build(spec))(*views)
    expected = their_losses.SelfSupervisedLoss(getattr(their_losses, theirs)())(*views)
    assert torch.allclose(value, expected)
    for slope, wanted in zip(*(torch.autograd.grad(one, views) for one in (value, expected)), strict=True):
        assert torch.allclose(slope, wanted)


def test_two_views_need_a_loss_without_labels_and_equal_shapes() -> None:
    with pytest.raises(ValueError, match="ProxyAnchor learns one parameter for each label"):
        SelfSupervised(losses.build("proxy-anchor", LABELS, DIM))
    with pytest.raises(ValueError, match=r"same shape, not \(5, 6\) and \(4, 6\)"):
        SelfSupervised(build("nt-xent"))(torch.zeros(5, DIM), torch.zeros(4, DIM))


@pytest.mark.parametrize("soft", ["true", "false"])
@pytest.mark.parametrize("mining", ["semi-hard", "semi-hard-all", "batch-hard", "batch-all"])
def test_swapped_triplets_equal_the_definition(mining: str, soft: str) -> None:
    assert_equals_definition(f"triplet:mining={mining},soft={soft},swap=true", 10)


def test_swapped_triplets_of_references_compare_the_references() -> None:
    loss, generator = build("triplet:mining=batch-all,swap=true"), torch.Generator().manual_seed(1)
    for embeddings, labels in regular_batches(9, in_blocks=False):
        references = around_centers(labels, 0.5, generator)
        x, others = (nn.functional.normalize(rows) for rows in (embeddings, references.detach()))
        to_others, between = torch.cdist(x, others).square(), torch.cdist(others, others).square()
        violations = [
            to_others[a, p] - torch.minimum(to_others[a, n], between[p, n]) + loss.margin
            for a in range(len(x))
            for p in range(len(x))
            for n in range(len(x))
            if labels[a] == labels[p] != labels[n]
        ]
        expected = torch.stack([violation for violation in violations if violation > 0]).mean()
        assert torch.allclose(loss(embeddings, labels, references, labels), expected)
        assert torch.allclose(loss(embeddings, labels, references, labels, pairs=same_label(labels)), expected)


def same_label(labels: Tensor) -> tuple[Tensor, Tensor]:
    same = labels[:, None] == labels
    return same, ~same


@needs_theirs
def test_instance_equals_theirs_where_every_image_is_a_product() -> None:
    """With labels, theirs takes the number of a label for a row of the batch."""
    import pytorch_metric_learning.losses as their_losses

    embeddings, labels = next(random_batches(1))
    one_each = torch.arange(len(labels))
    expected = their_losses.InstanceLoss(gamma=64)(embeddings, one_each)
    assert torch.allclose(build("instance")(embeddings, one_each), expected)
