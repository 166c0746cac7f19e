"""Rank and number of processes, as torchrun sets them in the environment; torch is not imported here.

Process 0 is the main process: it alone prints, and writes what a command makes. The others do their part of the work
and end where it ends.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dmlcli import interrupts
from dmlcli.errors import DmlcliError, LostProcess, PartError, UsageError

_PAUSE = 0.1  # seconds between two looks at what others have done
ATTEMPT = "_DMLCLI_ATTEMPT"  # how often `--processes` has started them before


def world() -> int:
    """Return the number of processes; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ and "WORLD_SIZE" in os.environ else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def neighbors() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if world() > 1 else 1


def place() -> int:
    """Return the rank of this process on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0)) if world() > 1 else 0


def launch_id() -> str:
    """Return an identifier of this launch, which its processes share."""
    names = ("TORCHELASTIC_RUN_ID", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT", "WORLD_SIZE")
    return "-".join(os.environ.get(name, "") for name in names)


def were_restarted() -> bool:
    """Return whether the processes were restarted after one was lost."""
    counts = (os.environ.get(name, "0") for name in (ATTEMPT, "TORCHELASTIC_RESTART_COUNT"))
    return world() > 1 and any(int(count) > 0 for count in counts)


def check_alone(command: str) -> None:
    """Raise UsageError if torchrun starts a command that cannot use several processes."""
    if world() > 1:
        raise UsageError(
            f"torchrun started dmlcli {command} {world()} times, but it cannot use several processes",
            hint="only train and embed use several processes; run other commands without torchrun",
        )


def wait_until(done: Callable[[], bool]) -> None:
    """Poll until other processes have written the files that this one needs; torchrun detects lost ones."""
    while not done():
        time.sleep(_PAUSE)


def end_at_once() -> None:
    """Let SIGTERM end this process immediately if there are others; torchrun sends it when one is lost."""
    if world() > 1:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_gently() -> None:
    """Save completed work when torchrun ends this process because another one was lost."""
    if world() > 1:
        interrupts.install()


@contextmanager
def a_part() -> Iterator[None]:
    """Name the process in the errors of a process other than the main one."""
    try:
        yield
    except LostProcess:
        raise
    except DmlcliError as error:
        if rank() == 0:
            raise
        raise PartError(f"process {rank()} of {world()}: {error}", error.hint) from error


def is_reported(error: DmlcliError) -> bool:
    """Return whether this process reports the error: the main process, or the only one that has it."""
    return rank() == 0 or isinstance(error, PartError)


def exit_code(code: int) -> int:
    """Return the exit code for torchrun, which treats every code except 0 as a failure: 3 becomes 0."""
    return 0 if code == 3 and world() > 1 and ATTEMPT not in os.environ else code
