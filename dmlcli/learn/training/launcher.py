"""`--processes N`: starts so many processes of this program on this machine by PyTorch's launcher, and watches them.

It uses torchrun's Python interface for N processes of `-m dmlcli …`. In addition, it distinguishes a process that was
killed (all are started again, from the last checkpoint) from one that ended with an error, and returns its exit code.
"""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dmlcli import prefetch, progress
from dmlcli.dist_env import ATTEMPT
from dmlcli.errors import CannotRun

_RESTARTS = 3
_GRACE = 600  # seconds that processes have after Ctrl-C to save what there is


def launch(arguments: Sequence[str], count: int) -> int:
    """Run the command line `arguments` in `count` processes; returns its exit code.

    Errors: CannotRun where processes are lost again and again.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(prefetch.cores()))  # of the main process, while it works alone
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_GRACE))
    with _manners_kept():
        for attempt in range(_RESTARTS + 1):
            # not torchrun's own restarts: it would also start again what ended for a reason that stays, and said so
            os.environ[ATTEMPT] = str(attempt)
            try:
                elastic_launch(_config(count), sys.executable)("-m", "dmlcli", *arguments)
                return 0
            except SignalException as signalled:
                return 128 + signalled.sigval  # 130 after Ctrl-C
            except ChildFailedError as error:
                rank, failure = error.get_first_failure()
                if all(failure.exitcode >= 0 for failure in error.failures.values()):
                    return failure.exitcode
                lost = f"process {rank} of {count} was killed by {_name(failure.exitcode)}"
                if attempt < _RESTARTS:
                    progress.warn(f"{lost}; all start again from what is saved")
    raise CannotRun(
        f"{lost}, the last of {_RESTARTS + 1} attempts",
        hint="SIGKILL most often means that memory ran out: fewer --processes need less; what is saved is taken up",
    )


def _config(count: int) -> LaunchConfig:
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )


@contextmanager
def _manners_kept() -> Iterator[None]:
    """Inside, torchrun's own log is silent, for errors are reported here; its signal handlers do not stay."""
    kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {kind: signal.getsignal(kind) for kind in kinds}
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _name(exit_code: int) -> str:
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"exit code {exit_code}"
