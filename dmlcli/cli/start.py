"""The command `dmlcli`: one line in, an exit code out, by the shortest way to what the line asks for."""

import contextlib
import io
import os
import sys

from dmlcli import processes
from dmlcli.cli import next_step


def main() -> None:
    """The command `dmlcli`."""
    arguments = sys.argv[1:]
    code = processes.exit_code(run(arguments))
    if arguments[:1] == ["query"]:
        _leave(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names that are not UTF-8 go out as they came in
    if processes.world() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it has remarks on each process
    next_step.remember("", {}, arguments)
    try:
        code = _query(arguments[1:]) if arguments[:1] == ["query"] and processes.world() == 1 else None
        if code is not None:
            return code
        from dmlcli.cli import app

        return app.run(arguments)
    except KeyboardInterrupt:
        return 130


def _leave(code: int) -> None:
    """End the process at once: freeing memory piece by piece takes a fifth of a query, and the system does it too."""
    with contextlib.suppress(OSError):  # whoever read is gone; every line was flushed as it was printed
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _query(words: list[str]) -> int | None:
    """A query whose line is plainly right, without Typer; None where it is not."""
    # one query needs no team of threads for its arithmetic, and making one takes longer than the search
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dmlcli.cli import quick
    from dmlcli.cli.guard import guarded
    from dmlcli.commands.query import query

    values = quick.read(query, words)
    if values is None:
        return None
    own, edge = values
    next_step.remember("query", own, ["query", *words])
    return guarded(lambda: query(**own), **edge)
