"""The end of every command: output or error message, and exit code."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmlcli import dist_env, interrupts, progress
from dmlcli.cli import formatting, next_step, render
from dmlcli.cli.progress_bar import Teller
from dmlcli.errors import DmlcliError, Interrupted, UsageError


def guarded(
    command: Callable[[], Any],
    format: str | None = None,
    quiet: bool = False,
    debug: bool = False,
    show: bool = False,
    nul: bool = False,
    output: Path | None = None,
    progress_form: str = "auto",
) -> int:
    """Run a command, print its report, and return the exit code; print errors as messages.

    Args:
        command: runs the command and returns its report.
        format: as `--format`.
        quiet: suppress progress and notes.
        debug: print the traceback of an error.
        show: draw the images in the terminal.
        nul: separate paths by NUL.
        output: a file to write instead of stdout.
        progress_form: as `--progress`.
    """
    teller = Teller(quiet or dist_env.rank() > 0, progress_form)
    progress.listen(teller)
    try:
        interrupts.work(lambda: _interruption(format))
        if output is not None or format == "xlsx":
            from dmlcli.cli import output_file

            format = output_file.format_of(output, format)
        if nul and format != "paths":
            raise UsageError("-0 only works with --format paths", hint="--format paths -0")
        if show and (format not in (None, "table") or output is not None or not sys.stdout.isatty()):
            raise UsageError(
                "--show only works with tables on a terminal", hint="use --sheet out.png to draw into a file"
            )
        try:
            report = command()
        finally:
            teller.close()
        try:
            code = render.show(report, format, nul, show, output)
        except (BrokenPipeError, SystemExit):  # Rich turns a closed pipe into an exit with 1
            pipe_closed()
            code = formatting.exit_code(
                getattr(report, "skipped", None) or (), says_no=getattr(report, "says_no", False)
            )
    except (Exception, KeyboardInterrupt) as error:
        code = ended(error, format, debug)
    interrupts.done(dist_env.exit_code(code))
    return code


def ended(error: BaseException, format: str | None, debug: bool) -> int:
    """Print why a command ended with an error, and return its exit code.

    Args:
        error: any exception; everything except DmlcliError, system errors and signals is a bug.
        format: the format of the output, which is that of the message too.
        debug: whether to print the trace.

    Returns:
        The exit code: that of the signal after one, even where it surfaced as another error.
    """
    if interrupts.received() or isinstance(error, KeyboardInterrupt | Interrupted):
        said = (str(error), error.hint) if isinstance(error, Interrupted) else _stopped()
        code = interrupts.exit_code()
        return code if dist_env.rank() > 0 else failed(*said, code, format, debug)
    if isinstance(error, DmlcliError):
        reported = dist_env.is_reported(error)
        return failed(str(error), error.hint, error.exit_code, format, debug) if reported else error.exit_code
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported for its name
        hint = "use a smaller --batch-size, --chunk N to keep the batch size, or --device cpu"
        return failed("the GPU is out of memory", hint, 4, format, debug)
    if isinstance(error, MemoryError):
        return failed("out of memory", "use a smaller --batch-size or catalog", 4, format, debug)
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return failed("the current folder has been deleted", "cd to a folder that exists", 4, format, debug)
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return failed(f"{error.strerror or error}{where}", "", 4, format, debug)
    hint = "this is a bug in dmlcli; please report it with the trace that --debug shows"
    return failed(f"{type(error).__name__}: {error}", hint, DmlcliError.exit_code, format, debug)


def failed(message: str, hint: str, code: int, format: str | None, debug: bool) -> int:
    """Print an error, and return the exit code.

    Args:
        message: the problem.
        hint: the next step; may be empty.
        code: the exit code.
        format: as `--format`: JSON formats print a JSON object.
        debug: print the traceback, too.
    """
    if debug:
        import traceback

        traceback.print_exc()
    print(render.error_text(message, next_step.complete(hint), code, format), file=sys.stderr)
    return code


def pipe_closed() -> int:
    """End quietly when the reader of the output has stopped reading, also when Python flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def asked_format(arguments: list[str]) -> str | None:
    """Return the format on a command line that could not be parsed."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--format"):
            return argument.partition("=")[2] or next(iter(arguments[place + 1 :]), None)
    return None


def _stopped() -> tuple[str, str]:
    """Return the message and the hint of an interrupted command."""
    kept, hint = interrupts.kept()
    return f"interrupted; {kept}" if kept else "interrupted", hint


def _interruption(format: str | None) -> str:
    """Return what an interrupted command prints where it ends without coming back here."""
    return render.error_text(*_stopped(), interrupts.exit_code(), format)


def _has_folder() -> bool:
    """Return whether the current folder exists."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
