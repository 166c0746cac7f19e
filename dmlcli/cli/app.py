"""The verbs as commands of Typer: it parses, completes, shows the help, and says what is wrong with a command line."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

import dmlcli
from dmlcli import spelling
from dmlcli.cli import render, settings
from dmlcli.cli.guard import failed, guarded, pipe_closed
from dmlcli.commands.compare import compare
from dmlcli.commands.doctor import doctor
from dmlcli.commands.duplicates import duplicates
from dmlcli.commands.embed import embed
from dmlcli.commands.eval import eval
from dmlcli.commands.index import index
from dmlcli.commands.losses import losses
from dmlcli.commands.query import query
from dmlcli.commands.status import status
from dmlcli.commands.train import train
from dmlcli.errors import DmlcliError, Interrupted

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
_DECODING = {
    "max_pixels": (
        Annotated[
            int | None,
            typer.Option(
                min=1,
                envvar="DMLCLI_MAX_PIXELS",
                help="Refuse larger pictures, unopened.  [default: 200 million]",
                show_default=False,
                show_envvar=False,
            ),
        ],
        None,
    )
}
_DOCTOR_EDGE = _EDGE | {
    "format": (
        Annotated[
            Literal["table", "jsonl", "json"] | None,
            typer.Option(help="How to print.  [default: table]", show_default=False),
        ],
        None,
    ),
}
_ANSWERS_EDGE = _EDGE | {
    "format": (
        Annotated[
            Literal["table", "tsv", "csv", "jsonl", "json", "paths"] | None,
            typer.Option(help="How to print.  [default: table on a terminal, else tsv]", show_default=False),
        ],
        None,
    ),
    "nul": (Annotated[bool, typer.Option("-0", "--print0", help="End each of --format paths with NUL.")], False),
}
_QUERY_EDGE = (
    _ANSWERS_EDGE
    | _DECODING
    | {"show": (Annotated[bool, typer.Option("--show", help="Draw the pictures in the terminal too.")], False)}
)
_EVAL_EDGE = (
    _EDGE
    | _DECODING
    | {
        "format": (
            Annotated[
                Literal["table", "json", "csv", "markdown", "latex"] | None,
                typer.Option(help="How to print.  [default: table]", show_default=False),
            ],
            None,
        )
    }
)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = app(arguments, prog_name="dmlcli", standalone_mode=False, default_map=_settings(arguments))
        sys.stdout.flush()
        return int(code or 0)
    except (BrokenPipeError, SystemExit):  # typer turns a closed pipe under --help into an exit
        return pipe_closed()
    except KeyboardInterrupt:
        return Interrupted.exit_code
    except DmlcliError as error:  # of what is read before a verb is known
        return failed(str(error), error.hint, error.exit_code, _asked_format(arguments), "--debug" in arguments)
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
    known: dict[str, dict[str, settings.Parameter]] = {}
    for registered in app.registered_commands:
        verb = known.setdefault(str(registered.name), {})
        for name, parameter in inspect.signature(registered.callback or _root).parameters.items():
            kind, spelt = get_args(parameter.annotation)
            typed = max(spelt.param_decls or [name], key=len).lstrip("-").replace("-", "_")
            verb[typed] = settings.Parameter(name, is_path=Path in (kind, *get_args(kind)))
    return settings.read(known)


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


def _for_typer(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter whose spelling is Typer's."""
    kind, spelt = get_args(parameter.annotation)
    make = typer.Option if isinstance(spelt, spelling.Option) else typer.Argument
    return parameter.replace(annotation=Annotated[kind, make(*spelt.names, **spelt.settings)])


def _register(verb: Callable[..., Any], edge: dict[str, tuple[Any, Any]] = _EDGE) -> None:
    """Make a verb a command: its own signature plus the options of the edge."""

    def command(**options: Any) -> int:
        if "max_pixels" in edge:
            from dmlcli.image import allow_pixels

            allow_pixels(options.pop("max_pixels"))
        own = {name: value for name, value in options.items() if name not in edge}
        asked = {name: value for name, value in options.items() if name in edge}
        return guarded(lambda: verb(**own), **asked)

    signature = inspect.signature(verb)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in edge.items()
    ]
    parameters = [_for_typer(p).replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
    parameters += extra
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = verb.__doc__
    app.command(name=verb.__name__)(command)


for _verb, _edge in (
    (train, _EDGE | _DECODING),
    (embed, _EDGE | _DECODING),
    (index, _EDGE | _DECODING),
    (eval, _EVAL_EDGE),
    (compare, _EDGE | _DECODING),
    (losses, _EDGE),
    (status, _EDGE),
    (query, _QUERY_EDGE),
    (doctor, _DOCTOR_EDGE | _DECODING),
    (duplicates, _ANSWERS_EDGE),
):
    _register(_verb, _edge)
