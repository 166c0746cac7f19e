"""The edge: registers the verbs, and turns whatever happens into output and an exit code."""

import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

import dmlcli
from dmlcli import progress
from dmlcli.cli import render, settings
from dmlcli.cli.bar import Teller
from dmlcli.commands.compare import compare
from dmlcli.commands.embed import embed
from dmlcli.commands.eval import eval
from dmlcli.commands.index import index
from dmlcli.commands.losses import losses
from dmlcli.commands.query import query
from dmlcli.commands.status import status
from dmlcli.commands.train import train
from dmlcli.errors import DmlcliError, Interrupted, UsageError

_INTERRUPTED, _BUG = Interrupted.exit_code, DmlcliError.exit_code

app = typer.Typer(
    name="dmlcli",
    help="Product image retrieval from the terminal: train on your own photos, then search by photo.",
    epilog="dmlcli train ./catalog && dmlcli query img.jpg",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# What every verb takes beside its own options, and what query takes beside that.
_EDGE = {
    "format": (
        Annotated[
            Literal["table", "json"] | None, typer.Option(help="How to print.  [default: table]", show_default=False)
        ],
        None,
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")], False),
    "debug": (Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")], False),
}
_QUERY_EDGE = _EDGE | {
    "format": (
        Annotated[
            Literal["table", "tsv", "csv", "jsonl", "json", "paths"] | None,
            typer.Option(help="How to print.  [default: table on a terminal, else tsv]", show_default=False),
        ],
        None,
    ),
    "nul": (Annotated[bool, typer.Option("-0", "--print0", help="End each of --format paths with NUL.")], False),
}


def main() -> None:
    """The command `dmlcli`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names that are not UTF-8 go out as they came in
    try:
        code = app(arguments, prog_name="dmlcli", standalone_mode=False, default_map=_settings(arguments))
        sys.stdout.flush()
        return int(code or 0)
    except (BrokenPipeError, SystemExit):  # typer turns a closed pipe under --help into an exit
        return _pipe_closed()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except DmlcliError as error:  # of what is read before a verb is known
        return _failed(str(error), error.hint, error.exit_code, _asked_format(arguments), "--debug" in arguments)
    except Exception as error:  # typer's own usage errors; their class moved between versions
        if not hasattr(error, "format_message"):
            raise
        message = error.format_message().rstrip(".")
        if not arguments:  # the message is the help
            print(message, file=sys.stderr)
            return 2
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path if context else 'dmlcli'} --help"
        print(render.error_text(message, hint, 2, _asked_format(arguments)), file=sys.stderr)
        return 2


def _settings(arguments: list[str]) -> settings.Found | None:
    """What dmlcli.toml and the environment set, by verb and parameter; help shows the command as it is."""
    if not arguments or not settings.is_there() or {"-h", "--help", "--version"} & {*arguments}:
        return None
    command: Any = typer.main.get_command(app)
    options = {
        verb: {max(parameter.opts, key=len).lstrip("-").replace("-", "_"): parameter for parameter in found.params}
        for verb, found in command.commands.items()
    }
    return settings.read(options)


def _pipe_closed() -> int:
    """The reader has seen enough; nothing more to say, also not when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _asked_format(arguments: list[str]) -> str | None:
    """The format on a command line that could not be parsed."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--format"):
            return argument.partition("=")[2] or next(iter(arguments[place + 1 :]), None)
    return None


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dmlcli {dmlcli.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _register(verb: Callable[..., Any], edge: dict[str, tuple[Any, Any]] = _EDGE) -> None:
    """Make a verb a command: its own signature plus the options of the edge."""

    def command(**options: Any) -> int:
        own = {name: value for name, value in options.items() if name not in edge}
        asked = {name: value for name, value in options.items() if name in edge}
        return _guarded(lambda: verb(**own), **asked)

    signature = inspect.signature(verb)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in edge.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()] + extra
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = verb.__doc__
    app.command(name=verb.__name__)(command)


def _guarded(verb: Callable[[], Any], format: str | None, quiet: bool, debug: bool, nul: bool = False) -> int:
    """Run a verb and show what it returns; every way to fail ends here, in a message and an exit code."""
    progress.listen(Teller(quiet))
    try:
        if nul and format != "paths":
            raise UsageError("-0 ends paths, and the format is another", hint="--format paths -0")
        return render.show(verb(), format, nul)
    except BrokenPipeError:
        return _pipe_closed()
    except DmlcliError as error:
        return _failed(str(error), error.hint, error.exit_code, format, debug)
    except KeyboardInterrupt:
        return _failed("stopped; what was computed so far is kept where it can be", "", _INTERRUPTED, format, debug)
    except MemoryError:
        return _failed("out of memory", "a smaller --batch-size or catalogue needs less", 4, format, debug)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _failed(f"{error.strerror or error}{where}", "", 4, format, debug)
    except Exception as error:
        hint = "this is a bug in dmlcli; please report it with the trace that --debug shows"
        return _failed(f"{type(error).__name__}: {error}", hint, _BUG, format, debug)


def _failed(message: str, hint: str, code: int, format: str | None, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(render.error_text(message, hint, code, format), file=sys.stderr)
    return code


for _verb in (train, embed, index, eval, compare, losses, status):
    _register(_verb)
_register(query, _QUERY_EDGE)
