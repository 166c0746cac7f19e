"""The ring, what the loss sees of it, and the losses that cannot use it."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from dmlcli.errors import UsageError
from dmlcli.learn import losses
from dmlcli.learn.recipe import MemorySpec, Recipe
from dmlcli.learn.training import cross_batch_memory
from tests.places import DATA

ABLE = [name for name in losses.names() if losses.describe(name).takes_references]


def batch(size: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(size, 8, generator=generator, dtype=torch.float64).requires_grad_()
    return embeddings, torch.arange(size) % 4


def remembering(name: str, **settings: Any) -> cross_batch_memory.Memory:
    torch.manual_seed(0)
    return cross_batch_memory.Memory(losses.build(name, 4, 8), 8, **settings).double()


CASES: list[dict[str, Any]] = json.loads((DATA / "oracle" / "losses.json").read_text())["cases"]


@pytest.mark.parametrize("case", [case for case in CASES if case["loss"] == "xbm-ring"], ids=lambda case: case["id"])
def test_the_ring_holds_the_newest(case: dict[str, Any]) -> None:
    kept = remembering("contrastive", size=case["hyper"]["memory_size"])
    first = 0
    for size, expected in zip(case["hyper"]["batch_sizes"], case["expected_ids_after_each_enqueue"], strict=True):
        ids = torch.arange(first, first + size)
        kept.remember(ids[:, None].expand(-1, 8).double(), ids)
        first += size
        assert sorted(kept.labels[: kept.filled].tolist()) == expected
        assert torch.equal(kept.embeddings[: kept.filled, 0], kept.labels[: kept.filled].double())


def test_the_ring_goes_on_at_its_start_when_it_is_full() -> None:
    ring = cross_batch_memory.Memory(losses.build("contrastive", 9, 1), 1, size=5)
    for first in (0, 2, 4):
        ring.remember(torch.tensor([[first], [first + 1]]).float(), torch.tensor([first, first + 1]))
    assert ring.labels.tolist() == [5, 1, 2, 3, 4] and ring.embeddings.flatten().tolist() == [5, 1, 2, 3, 4]
    assert ring.filled == 5
    ring.remember(torch.tensor([[6.0], [7.0]]), torch.tensor([6, 7]))
    assert ring.labels.tolist() == [5, 6, 7, 3, 4] and ring.embeddings.flatten().tolist() == [5, 6, 7, 3, 4]


def test_a_batch_larger_than_the_memory_leaves_its_last() -> None:
    kept = remembering("contrastive", size=4)
    kept.remember(torch.zeros(11, 8), torch.arange(11))
    assert sorted(kept.labels.tolist()) == [7, 8, 9, 10]


@pytest.mark.parametrize("name", ABLE)
def test_a_batch_meets_the_past_and_not_itself(name: str) -> None:
    kept = remembering(name, size=32, start=1)
    (old, old_labels), (new, labels) = batch(12, 1), batch(8, 2)
    torch.manual_seed(0)
    assert torch.equal(kept(old, old_labels), seeded(kept.loss, old, old_labels))
    torch.manual_seed(0)
    value = kept(new, labels)
    torch.manual_seed(0)
    expected = kept.loss(new, labels) + kept.loss(new, labels, old.detach(), old_labels)
    assert torch.allclose(value, expected)
    value.backward()
    assert new.grad is not None and torch.isfinite(new.grad).all() and old.grad is None


def seeded(loss: torch.nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    torch.manual_seed(0)
    value: Tensor = loss(embeddings, labels)
    return value


def test_it_waits_for_its_start_and_remembers_only_in_training() -> None:
    kept = remembering("contrastive", size=32, start=2)
    for seed in range(3):
        embeddings, labels = batch(8, seed)
        assert torch.equal(kept(embeddings, labels), kept.loss(embeddings, labels)) == (seed < 2)
    kept.eval()
    kept(*batch(8, 9))
    assert kept.filled == 24


@pytest.mark.parametrize("spec", ["proxy-anchor", "lifted-structure:form=original", "contrastive+softmax"])
def test_a_loss_without_references_is_refused_with_those_that_have_them(spec: str) -> None:
    with pytest.raises(UsageError, match="cannot be used with a memory") as caught:
        cross_batch_memory.Memory(losses.build(spec, 4, 8), 8)
    assert all(name in caught.value.hint for name in ABLE)


def test_a_sum_can_remember() -> None:
    kept = cross_batch_memory.Memory(losses.build("contrastive+0.5*supcon", 4, 8), 8, size=16, start=0)
    assert kept.sampler == "pk"
    embeddings, labels = batch(8, 1)
    kept(embeddings, labels)
    assert kept(embeddings, labels) > kept.loss(embeddings, labels)


def test_the_spec() -> None:
    assert Recipe(memory="64").memory_spec == MemorySpec(64, None)
    assert Recipe(memory="64:start=5").memory_spec == MemorySpec(64, 5)


@pytest.mark.parametrize("spec", ["", "0", "many", "64:", "64:start", "64:start=", "64:begin=5", "-8"])
def test_a_wrong_spec_is_answered_with_a_right_one(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe(memory=spec).check()
    assert "start" in caught.value.hint and "--memory" in str(caught.value)


def test_a_saved_memory_compares_with_what_it_would_have_compared_with() -> None:
    kept, again = (remembering("contrastive", size=12, start=1) for _ in range(2))
    for seed in range(2):
        kept(*batch(8, seed))
    again.load_state_dict(kept.state_dict())
    for seed in (2, 3):
        assert torch.equal(kept(*batch(8, seed)), again(*batch(8, seed)))
