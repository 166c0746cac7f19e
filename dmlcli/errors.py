"""The errors of dmlcli and their exit codes.

    DmlcliError                70  a bug if raised directly
    ├── UsageError              2  invalid, unknown or contradictory options or arguments
    ├── CannotRun               4  valid command, but something that it needs is missing or damaged
    │   ├── CatalogError           no catalog, no images or no products in it
    │   ├── ImageError             an image cannot be read; commands with many images list it and continue
    │   │   ├── MissingError       an image file does not exist
    │   │   └── TooLargeError      an image is above a limit of pixels, bytes or memory
    │   ├── WeightsError           pretrained weights are missing, damaged or of another backbone
    │   ├── ModelError             a model is missing or damaged
    │   ├── EmbeddingsError        embeddings are missing or damaged
    │   ├── IndexFileError         an index is missing or damaged
    │   ├── MismatchError          two artifacts do not belong together
    │   ├── TrainingError          training cannot start, or it diverged
    │   ├── CannotWrite            the disk is full or read-only, or permission is denied
    │   ├── Locked                 another process holds the lock of a folder or a run
    │   ├── LostProcess            another process of the same job ended early
    │   └── PartError              an error of a process other than the main process
    └── Interrupted           130  Ctrl-C; completed work is saved

Two more exit codes are results, not errors: 1 (success, and the answer is no) and 3 (success, some inputs were
skipped).

Signals: SIGINT (Ctrl-C), SIGTERM and SIGHUP end a command in the same way, with exit code 130, 143 or 129, or with
its own exit code if it had already finished. The message states what was kept and the next command. Outputs stay
complete: either the old model or index, or the new one. A second signal ends the process at once. A signal that was
ignored when the command started (SIGHUP under nohup) stays ignored. During the first 30 ms, while Python starts, a
signal kills the process with the same exit codes; SIGINT may print a Python traceback with exit code 1. Nothing has
been read or written at that point.
"""


class DmlcliError(Exception):
    """Base class: `str(error)` states the problem and its source, `hint` the next step."""

    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(DmlcliError):
    """Invalid, unknown or contradictory options or arguments."""

    exit_code = 2


class CannotRun(DmlcliError):
    """Something that a valid command needs is missing or damaged."""

    exit_code = 4


class CatalogError(CannotRun):
    """No catalog, or no images or no products in it."""


class ImageError(CannotRun):
    """An image cannot be read."""


class MissingError(ImageError):
    """An image file does not exist."""


class TooLargeError(ImageError):
    """An image is above a limit of pixels, bytes or memory."""


class WeightsError(CannotRun):
    """Pretrained weights are missing, damaged or of another backbone."""


class ModelError(CannotRun):
    """A model is missing or damaged."""


class EmbeddingsError(CannotRun):
    """Embeddings are missing or damaged."""


class IndexFileError(CannotRun):
    """An index is missing or damaged."""


class MismatchError(CannotRun):
    """Two artifacts do not belong together, for example an index and another model."""


class TrainingError(CannotRun):
    """Training cannot start, or it diverged."""


class LostProcess(CannotRun):
    """Another process of the same job ended early; the launcher reports which one."""


class PartError(CannotRun):
    """An error of a process other than the main process, which only that process knows."""


class Interrupted(DmlcliError):
    """Ctrl-C; completed work is saved. SIGTERM and SIGHUP raise it, too, and then set the exit code."""

    exit_code = 130


def nearest(word: str, known: list[str]) -> str:
    """Return the hint for a misspelled `word`: the nearest `known` words, or all of them."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
