"""Two processes that share batches take the steps of one: every loss, with memory, in chunks, in unequal parts."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from dmlcli.learn import losses
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import distributed as shared
from dmlcli.learn.training.cross_batch_memory import Memory
from dmlcli.learn.training.loop import fit
from dmlcli.learn.training.state import TrainerState

LABELS, DIM, FEATURES = 6, 8, 10
CASES = [
    *(Recipe(loss=name, epochs=2) for name in losses.names() if name != "vicreg"),
    # a shift of all embeddings leaves vicreg as it is: adamw would scale up the rounding errors of the last bias
    Recipe(loss="vicreg", epochs=2, optimizer="sgd"),
    *(Recipe(loss=name, epochs=2, memory="40") for name in losses.names() if losses.describe(name).takes_references),
    Recipe(loss="softmax+0.5*triplet", epochs=2),
    Recipe(loss="proxy-anchor", epochs=2, chunk=4),
    Recipe(loss="multi-similarity", epochs=2, chunk=5, memory="40"),
    Recipe(loss="proxy-anchor", epochs=2, accumulate=2),
    Recipe(loss="margin", epochs=2, ema=0.9, clip="norm:1"),
]


def batches(number: int) -> list[tuple[Tensor, Tensor]]:
    """Three batches, of which only the first can be halved."""
    rng = torch.Generator().manual_seed(number)
    sizes = (24, 23, 17)
    return [(torch.randn(size, FEATURES, generator=rng), torch.arange(size) % LABELS) for size in sizes]


def trained(recipe: Recipe) -> list[Tensor]:
    """The gradients of the first epoch's last batch, then network, loss and loss values after two epochs."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(FEATURES, 12), nn.Tanh(), nn.Linear(12, DIM))
    loss: nn.Module = losses.build(recipe.loss, LABELS, DIM)
    loss = Memory(loss, DIM, size=int(recipe.memory), start=1) if recipe.memory else loss
    trainer = TrainerState(recipe, loss, head=network)

    def feed(number: int) -> list[tuple[Tensor, Tensor]]:
        return [(x[shared.shard(len(x))], y) for x, y in batches(number)]

    found: list[Tensor] = []
    for epoch in fit(network, trainer, feed):
        found += [torch.zeros(1) if p.grad is None else p.grad.clone() for p in trainer.parameters]
        found += [torch.tensor([epoch.loss, epoch.diagnostics.active, epoch.diagnostics.similarity])]
    return [*found, *(p.detach() for p in trainer.parameters)]


def work(rank: int, port: int, folder: Path) -> None:
    """One of two processes, from rendezvous to the results of all cases."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    with shared.process_group():
        torch.save([trained(recipe) for recipe in CASES], folder / f"{rank}.pt")
        dropped = [shared.broadcast(rank) == 0]
        with shared.rank_rng("1/1"):
            mine = torch.rand(2)
        dropped.append(not torch.equal(*shared.all_gather(mine[None], 2)))
        dropped.append(torch.equal(*shared.all_gather(torch.rand(1, 2), 2)))
        rows = list(range(5))
        dropped.append(shared.map_sharded(rows, lambda shard: torch.tensor(shard)[:, None]).flatten().tolist() == rows)
        dropped.append(shared.map_sharded([7], lambda shard: torch.tensor(shard)[:, None]).tolist() == [[7]])
        torch.save(dropped, folder / f"also-{rank}.pt")
        if rank:
            assert shared.broadcast(rank) is None  # no more tasks


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two gloo processes left what they found."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(work, (port, folder), nprocs=2)  # type: ignore[no-untyped-call]
    return folder


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(together: Path) -> None:
    """Gradients, parameters and what is logged of an epoch, of every loss, equal to 1e-5."""
    torch.set_num_threads(1)
    found: list[Any] = [torch.load(together / f"{rank}.pt") for rank in (0, 1)]
    for recipe, first, second in zip(CASES, *found, strict=True):
        single_process = trained(recipe)
        assert len(single_process) == len(first) > 0
        for one, two in zip(first, second, strict=True):
            assert torch.equal(one, two), f"{recipe.loss}: the processes differ"
        for one, two in zip(single_process, first, strict=True):
            assert torch.allclose(one, two, rtol=1e-5, atol=1e-5), f"{recipe}: {(one - two).abs().max()}"


@pytest.mark.slow
def test_the_leader_is_heard_and_chance_is_shared_where_it_should_be(together: Path) -> None:
    for rank in (0, 1):
        assert all(torch.load(together / f"also-{rank}.pt"))
