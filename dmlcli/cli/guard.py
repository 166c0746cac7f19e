"""Where every command ends: in what it has to show, or in a message, and in an exit code."""

import os
import sys
from collections.abc import Callable
from typing import Any

from dmlcli import processes, progress
from dmlcli.cli import next_step, render
from dmlcli.cli.bar import Teller
from dmlcli.errors import DmlcliError, Interrupted, UsageError

_INTERRUPTED, _BUG = Interrupted.exit_code, DmlcliError.exit_code


def guarded(
    verb: Callable[[], Any],
    format: str | None = None,
    quiet: bool = False,
    debug: bool = False,
    show: bool = False,
    nul: bool = False,
) -> int:
    """Run a verb and show what it returns; every way to fail ends here, in a message and an exit code."""
    teller = Teller(quiet or processes.rank() > 0)
    progress.listen(teller)

    def done() -> Any:
        try:
            return verb()
        finally:
            teller.close()

    try:
        if nul and format != "paths":
            raise UsageError("-0 ends paths, and the format is another", hint="--format paths -0")
        if show and (format not in (None, "table") or not sys.stdout.isatty()):
            raise UsageError("--show draws above tables on a terminal", hint="--sheet out.png draws into a file")
        return render.show(done(), format, nul, show)
    except BrokenPipeError:
        return pipe_closed()
    except DmlcliError as error:
        if not processes.is_told(error):
            return error.exit_code
        return failed(str(error), error.hint, error.exit_code, format, debug)
    except KeyboardInterrupt:
        if processes.rank() > 0:
            return _INTERRUPTED
        return failed("stopped; what was computed so far is kept where it can be", "", _INTERRUPTED, format, debug)
    except MemoryError:
        return failed("out of memory", "a smaller --batch-size or catalogue needs less", 4, format, debug)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return failed(f"{error.strerror or error}{where}", "", 4, format, debug)
    except Exception as error:
        hint = "this is a bug in dmlcli; please report it with the trace that --debug shows"
        return failed(f"{type(error).__name__}: {error}", hint, _BUG, format, debug)


def failed(message: str, hint: str, code: int, format: str | None, debug: bool) -> int:
    """Say what went wrong, and return the exit code."""
    if debug:
        import traceback

        traceback.print_exc()
    print(render.error_text(message, next_step.complete(hint), code, format), file=sys.stderr)
    return code


def pipe_closed() -> int:
    """The reader has seen enough; nothing more to say, also not when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
