"""Everything that can go wrong, drawn once.

    DmlcliError                70  a bug if raised as itself
    ├── UsageError              2  the command line asks for something that does not exist or does not go together
    ├── CannotRun               4  the command is fine, what it needs is not there
    │   ├── CatalogError           no catalog, no images or no products in it
    │   ├── ImageError             one image cannot be read; verbs over many images list it and go on
    │   │   └── MissingError        … because there is no such file
    │   ├── WeightsError           pretrained weights are missing, damaged or of another backbone
    │   ├── ModelError             no model, or a damaged one
    │   ├── EmbeddingsError        no embeddings, or damaged ones
    │   ├── IndexFileError         no index, or a damaged one
    │   ├── MismatchError          two artifacts that were not made for each other
    │   ├── TrainingError          training cannot start or went astray
    │   ├── CannotWrite            the disk is full or read-only, or a place may not be written to
    │   ├── Locked                 another process holds the lock on a folder or a run
    │   ├── LostProcess            another process of the same work has ended before its time
    │   └── PartError              what stopped a process that does not lead
    └── Interrupted           130  Ctrl-C; what was done so far is saved

Two more exit codes are answers, not errors: 1 (ran well, the answer is no) and 3 (done, some inputs skipped).

Signals: SIGINT (Ctrl-C), SIGTERM and SIGHUP end a command alike, with 130, 143 and 129, or with its own exit code where
the work was done already. The message says what is kept and what to type next. What the command writes stays whole: the
old model or index, or the new one. A second signal ends the process at once. A signal that was ignored when the command
started (SIGHUP under nohup) stays ignored. Until the first line of dmlcli runs, about 30 ms, Python itself is starting:
there a signal kills the process, which a shell shows as the same codes, and SIGINT may end it with Python's own
traceback and exit code 1. Nothing has been read or written by then.
"""


class DmlcliError(Exception):
    """The root: `str(error)` says what was found and where, `hint` what to type next."""

    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(DmlcliError):
    """The command line asks for something that does not exist or does not go together."""

    exit_code = 2


class CannotRun(DmlcliError):
    """The command is fine, what it needs is not there."""

    exit_code = 4


class CatalogError(CannotRun):
    """No catalog, no images or no products in it."""


class ImageError(CannotRun):
    """One image cannot be read."""


class MissingError(ImageError):
    """There is no such file."""


class WeightsError(CannotRun):
    """Pretrained weights are missing, damaged or of another backbone."""


class ModelError(CannotRun):
    """No model, or a damaged one."""


class EmbeddingsError(CannotRun):
    """No embeddings, or damaged ones."""


class IndexFileError(CannotRun):
    """No index, or a damaged one."""


class MismatchError(CannotRun):
    """Two artifacts that were not made for each other."""


class TrainingError(CannotRun):
    """Training cannot start or went astray."""


class LostProcess(CannotRun):
    """Another process of the same work has ended before its time; whoever started them knows which."""


class PartError(CannotRun):
    """What stopped a process that does not lead, and so is known to it alone."""


class Interrupted(DmlcliError):
    """Ctrl-C; what was done so far is saved. SIGTERM and SIGHUP raise it too, and then set the exit code."""

    exit_code = 130


def nearest(word: str, known: list[str]) -> str:
    """Return the hint for a misspelt `word`: the nearest of the `known` ones, or all of them."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
