"""Which of several processes this one is, as torchrun tells them in the environment. No torch in here.

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
    """Return how many processes share the work; 1 where torchrun started none."""
    return int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ and "WORLD_SIZE" in os.environ else 1


def rank() -> int:
    """Return the number of this one, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def neighbors() -> int:
    """Return how many of them run on this machine, this one included."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if world() > 1 else 1


def place() -> int:
    """Return the number of this one on its machine, from 0: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0)) if world() > 1 else 0


def launch_id() -> str:
    """Return what tells the processes that were started together from those of another time."""
    names = ("TORCHELASTIC_RUN_ID", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT", "WORLD_SIZE")
    return "-".join(os.environ.get(name, "") for name in names)


def were_restarted() -> bool:
    """Return whether these processes take the place of some that were lost."""
    counts = (os.environ.get(name, "0") for name in (ATTEMPT, "TORCHELASTIC_RESTART_COUNT"))
    return world() > 1 and any(int(count) > 0 for count in counts)


def check_alone(verb: str) -> None:
    """Raise UsageError where torchrun starts a verb that cannot share its work."""
    if world() > 1:
        raise UsageError(
            f"torchrun started dmlcli {verb} {world()} times, but it cannot use several processes",
            hint="only train and embed use several processes; run other commands without torchrun",
        )


def wait_until(done: Callable[[], bool]) -> None:
    """Look again and again whether the others have left on disk what this one needs; torchrun sees when one is lost."""
    while not done():
        time.sleep(_PAUSE)


def end_at_once() -> None:
    """Let SIGTERM end this process as it is where there are others: torchrun sends it when one of them was lost."""
    if world() > 1:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_gently() -> None:
    """Let what is done be kept when torchrun ends this process because another one was lost."""
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
    """Return the exit code for torchrun, which takes all but 0 for a lost process, also 3, done with some skipped."""
    return 0 if code == 3 and world() > 1 and ATTEMPT not in os.environ else code
