"""The verbs as commands of Typer: it parses, completes, shows the help, and says what is wrong with a command line."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

import dmlcli
from dmlcli import processes, spelling
from dmlcli.cli import settings
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
from dmlcli.errors import DmlcliError, Interrupted, UsageError

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
                help="Refuse larger pictures, unopened.  [default: 200 million]",
                show_default=False,
            ),
        ],
        None,
    )
}
_SHARING = {
    "processes": (
        Annotated[
            int | None,
            typer.Option(
                "--processes",
                min=1,
                help="Share the work among so many processes on this machine (torchrun starts them).  [default: 1]",
                show_default=False,
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

_SETTABLE: dict[str, dict[str, settings.Parameter]] = {}  # by verb, what dmlcli.toml and the environment may set


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = app(
            arguments, prog_name="dmlcli", standalone_mode=False, default_map=_settings(arguments), obj=arguments
        )
        sys.stdout.flush()
        return int(code or 0)
    except (BrokenPipeError, SystemExit):  # typer turns a closed pipe under --help into an exit
        return pipe_closed()
    except KeyboardInterrupt:
        return Interrupted.exit_code
    except DmlcliError as error:  # of what is read before a verb is known, or goes wrong around it
        if not processes.is_told(error):
            return error.exit_code
        return failed(str(error), error.hint, error.exit_code, _asked_format(arguments), "--debug" in arguments)
    except Exception as error:  # typer's own usage errors; their class moved between versions
        if not hasattr(error, "format_message"):
            raise
        if processes.rank() > 0:
            return 2
        message = error.format_message().rstrip(".")
        if not arguments:  # the message is the help
            print(message, file=sys.stderr)
            return 2
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path if context else 'dmlcli'} --help"
        from dmlcli.cli import render

        print(render.error_text(message, hint, 2, _asked_format(arguments)), file=sys.stderr)
        return 2


def _settings(arguments: list[str]) -> settings.Found | None:
    """What dmlcli.toml and the environment set, by verb and parameter; help shows the command as it is."""
    if not arguments or not settings.is_there() or {"-h", "--help", "--version"} & {*arguments}:
        return None
    return settings.read(_SETTABLE)


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


def _settable(parameter: inspect.Parameter) -> tuple[str, settings.Parameter]:
    """A parameter by the name it is typed as."""
    kind, spelt = get_args(parameter.annotation)
    names = spelt.param_decls or [parameter.name]
    takes_path = Path in (kind, *get_args(kind))
    return max(names, key=len).lstrip("-").replace("-", "_"), settings.Parameter(parameter.name, takes_path)


def _to_start(wanted: int | None) -> int:
    """How many processes are to be started; 1 where they are there already."""
    if processes.world() == 1:
        return wanted or 1
    if wanted not in (None, processes.world()):
        raise UsageError(
            f"torchrun has started {processes.world()} processes, and --processes says {wanted}",
            hint="one of the two is enough",
        )
    return 1


def _register(verb: Callable[..., Any], edge: dict[str, tuple[Any, Any]] = _EDGE) -> None:
    """Make a verb a command: its own signature plus the options of the edge."""

    def command(context: typer.Context, **options: Any) -> int:
        if "processes" not in edge:
            processes.check_alone(verb.__name__)
        elif (wanted := _to_start(options.pop("processes"))) > 1:
            from dmlcli.learn.launch import launch  # torch starts here

            return launch(context.obj, wanted)
        if "max_pixels" in edge:
            from dmlcli.image import allow_pixels

            allow_pixels(options.pop("max_pixels"))
        own = {name: value for name, value in options.items() if name not in edge}
        asked = {name: value for name, value in options.items() if name in edge}
        return guarded(lambda: verb(**own), **asked)

    signature = inspect.signature(verb)
    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in edge.items()
    ]
    parameters = [_for_typer(p).replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
    parameters += extra
    command.__signature__ = signature.replace(parameters=[first, *parameters])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (first, *parameters)}
    command.__doc__ = verb.__doc__
    _SETTABLE[verb.__name__] = dict(map(_settable, parameters))
    app.command(name=verb.__name__)(command)


for _verb, _edge in (
    (train, _EDGE | _DECODING | _SHARING),
    (embed, _EDGE | _DECODING | _SHARING),
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
