"""Training that several processes share; where there is only one, everything in here does nothing.

Process 0 is the main process: it runs the command, and when gradient training starts it sends the others a task with
all they need. From then on all of them do the same steps: each embeds its own shard of every batch, the shards are
gathered, and the loss sees the whole batch in every process. So one step of N processes is the step that one process
would make. PyTorch keeps network and loss equal (DistributedDataParallel); gloo speaks for CPUs, NCCL for GPUs.
"""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dmlcli import dist_env, prefetch
from dmlcli.errors import LostProcess, TrainingError

T = TypeVar("T")
_single_process = False  # whether others that have joined wait
_PATIENCE = timedelta(days=30)  # that the others wait for the main process's task; torchrun notices lost processes


@contextmanager
def process_group() -> Iterator[None]:
    """Inside, the processes that torchrun started know each other, and share the processors of each machine.

    Errors: LostProcess where one of the others ends before its time.
    """
    if dist_env.world() == 1:
        yield
        return
    with prefetch.shared_by(dist_env.neighbors()):
        torch.set_num_threads(prefetch.cores())
        try:
            distributed.init_process_group(timeout=_PATIENCE)
            yield
            if is_main():
                broadcast(None)  # there are no more tasks
        except RuntimeError as error:
            if not _is_loss(error):
                raise
            raise LostProcess(
                "a process of this training was lost", hint="train --resume continues from the last checkpoint"
            ) from error
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
    take_all_cores()


def share_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """Return the module with batch norms over the whole batch, where processes have shards of it on GPUs."""
    if size() == 1 or device.type != "cuda":
        return module
    shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return shared


def take_all_cores() -> None:
    """Use all processors in a single process; torchrun gives each process one."""
    if dist_env.world() > 1:
        torch.set_num_threads(prefetch.cores())


@contextmanager
def single_process() -> Iterator[None]:
    """Inside, the main process works as if there were no others, which wait meanwhile."""
    global _single_process
    _single_process = True
    try:
        yield
    finally:
        _single_process = False


def size() -> int:
    """Return how many processes work together."""
    return distributed.get_world_size() if distributed.is_initialized() and not _single_process else 1


def is_main() -> bool:
    """Return whether this is the main process, which evaluates, decides and writes."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def broadcast(value: T) -> T:
    """Return the main process's value in every process; tensors arrive on the CPU."""
    if size() == 1:
        return value
    stream = io.BytesIO()
    if is_main():
        torch.save(value, stream)
    said: list[Any] = [stream.getvalue()]
    distributed.broadcast_object_list(said, src=0, device=torch.device("cpu"))
    found: T = torch.load(io.BytesIO(said[0]), map_location="cpu", weights_only=False)  # from a process of this program
    return value if is_main() else found


def shard(count: int, rank: int | None = None) -> slice:
    """Which of so many rows are this process's part, or that of another; parts differ by one row at the most.

    Errors: TrainingError where there are fewer rows than processes.
    """
    if count < size():
        raise TrainingError(
            f"a batch of {count} images is too small for {size()} processes",
            hint="a larger --batch-size, or fewer --processes",
        )
    number = (distributed.get_rank() if size() > 1 else 0) if rank is None else rank
    return slice(count * number // size(), count * (number + 1) // size())


def all_gather(rows: Tensor, count: int) -> Tensor:
    """Return the parts of all processes, (about B / N, ...) each, as the whole that `shard` cut them from: (B, ...).

    A gradient finds its way back, as long as every process computes the same value from the whole.
    """
    if size() == 1:
        return rows
    longest = -(-count // size())
    padded = F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, longest - len(rows)))
    lengths = [len(range(count)[shard(count, rank)]) for rank in range(size())]
    parts = _Gathered.apply(padded).split(longest)
    return torch.cat([shard[:length] for shard, length in zip(parts, lengths, strict=True)])


def map_sharded(rows: Sequence[T], work: Callable[[Sequence[T]], Tensor]) -> Tensor:
    """Return what `work` makes of the rows, (N, ...), each process doing its part of them."""
    if len(rows) < size():
        return work(rows)
    return all_gather(work(rows[shard(len(rows))]), len(rows))


def synchronized(module: nn.Module) -> nn.Module:
    """Return the module with the main process's parameters, whose gradients become the mean over all processes."""
    if size() == 1:
        return module
    return DistributedDataParallel(module, find_unused_parameters=True)  # a batch may leave the loss's own aside


@contextmanager
def rank_rng(moment: str) -> Iterator[None]:
    """Inside, random numbers are this process's own (what dropout drops); outside, all draw the same (a loss's pairs).

    Args:
        moment: differs for each use.
    """
    if size() == 1:
        yield
        return
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(random.Random(f"{moment}/{dist_env.rank()}").getrandbits(63))
        yield


class _Gathered(torch.autograd.Function):
    """All parts below each other, of equal lengths.

    Every process has the gradient of the same loss with respect to all parts. Its own is multiplied by their number,
    because DistributedDataParallel takes the mean of what is a sum.
    """

    @staticmethod
    def forward(context: Any, shard: Tensor) -> Tensor:
        parts = [torch.empty_like(shard) for _ in range(size())]
        distributed.all_gather(parts, shard.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient.chunk(size())[distributed.get_rank()] * size()


def _is_loss(error: RuntimeError) -> bool:
    """Return whether an error of PyTorch means that a process or the way to it is gone."""
    said = str(error).lower()
    return isinstance(error, distributed.DistError) or "gloo" in said or "nccl" in said
