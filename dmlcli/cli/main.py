"""Entry point: runs a command line with as few imports as possible, and returns the exit code.

Nothing is imported up here but what Python itself has loaded already: signals are handled first.
"""

import os
import sys


def main() -> None:
    """Run the command `dmlcli`."""
    try:
        from dmlcli import interrupts

        interrupts.install()
    except KeyboardInterrupt:
        os._exit(130)
    try:
        from dmlcli import dist_env
        from dmlcli.cli import streams

        dist_env.end_at_once()
        streams.repair()
        code = dist_env.exit_code(run(sys.argv[1:]))
    except KeyboardInterrupt:
        code = interrupts.exit_code()
    if code == 130 and interrupts.received():  # Typer knows no other signal
        code = interrupts.exit_code()
    interrupts.finish(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    from dmlcli import dist_env
    from dmlcli.cli import next_step, streams

    streams.accept_any_name()
    if dist_env.world() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it has remarks on each process
    next_step.remember("", {}, arguments)
    try:
        code = _query(arguments[1:]) if arguments[:1] == ["query"] and dist_env.world() == 1 else None
        if code is not None:
            return code
        from dmlcli.cli import app

        return app.run(arguments)
    except (Exception, KeyboardInterrupt) as error:
        from dmlcli.cli.error_handler import asked_format, ended

        return ended(error, asked_format(arguments), "--debug" in arguments)


def _query(words: list[str]) -> int | None:
    """Run a plain `query` command line without Typer; return None if Typer is needed."""
    # one query needs no team of threads for its arithmetic, and making one takes longer than the search
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dmlcli.cli import fast_parser, next_step
    from dmlcli.cli.error_handler import guarded
    from dmlcli.commands.query import query

    values = fast_parser.read(query, words)
    if values is None:
        return None
    own, edge = values
    next_step.remember("query", own, ["query", *words])
    return guarded(lambda: query(**own), **edge)
