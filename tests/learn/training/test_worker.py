"""Two processes that share the epochs of a fold, and those of the final fit on all photos."""

import os
import socket
from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training import distributed, refit
from dmlcli.learn.training.worker import run_worker
from tests.learn.training.test_epochs import CPU, planned, recipe, trained

ASKED = recipe("all", epochs=2, rate=0.01, patience=0)


def fitted(folder: Path, is_limited: bool) -> dict[str, torch.Tensor]:
    """The weights after both epochs of the fold, again on all photos; with a budget, the first has no score."""
    data, plan, network = planned(folder, ASKED)
    with distributed.process_group(), pytest.MonkeyPatch.context() as patched:
        patched.setattr("dmlcli.learn.time_budget.is_costly", lambda *_: True)
        before, best = trained(network, plan, ASKED, time_budget=TimeBudget(3600 if is_limited else None))
        assert bool(before.scores) is not is_limited and best.scores
        shipped = refit.finish(data, plan, best, ASKED, CPU)
    return shipped.state_dict()


def work(rank: int, port: int, folder: Path, is_limited: bool) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    if rank:
        run_worker(CPU)
    else:
        torch.save(fitted(folder / "shared", is_limited), folder / "shared.pt")


@pytest.mark.slow
@pytest.mark.parametrize("is_limited", [False, True])
def test_two_processes_share_the_final_fit(tmp_path: Path, is_limited: bool) -> None:
    alone = fitted(tmp_path / "alone", is_limited)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(work, (port, tmp_path, is_limited), nprocs=2)  # type: ignore[no-untyped-call]
    together = torch.load(tmp_path / "shared.pt", weights_only=True)
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        if name.startswith("backbone"):
            assert torch.allclose(value, together[name], atol=1e-4), name
