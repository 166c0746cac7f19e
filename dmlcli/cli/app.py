"""The commands as Typer commands: Typer parses, completes, shows the help and finds the errors of a command line.

Typer builds every command that is registered: it imports their modules, and the library that checks their values. This
takes longer than many commands, so a command line registers only the command that it names.
"""

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperGroup

import dmlcli
from dmlcli import dist_env, interrupts, option_values
from dmlcli.cli import global_options, next_step, settings
from dmlcli.cli.error_handler import asked_format, ended, failed, guarded, pipe_closed
from dmlcli.cli.help_panels import PanelCommand
from dmlcli.errors import DmlcliError, UsageError
from dmlcli.options import spec

_SYNONYMS = {  # names that other programs have for a command, or for an option
    **dict.fromkeys(("search", "find", "lookup", "ask"), "query"),
    **dict.fromkeys(("fit", "finetune", "fine-tune", "learn"), "train"),
    **dict.fromkeys(("evaluate", "test", "score", "validate", "benchmark"), "eval"),
    **dict.fromkeys(("encode", "extract", "features", "vectorize"), "embed"),
    **dict.fromkeys(("build", "add", "update", "insert", "push"), "index"),
    **dict.fromkeys(("check", "lint", "verify"), "doctor"),
    **dict.fromkeys(("dedup", "dedupe", "duplicate"), "duplicates"),
    **dict.fromkeys(("info", "show", "list", "ls"), "status"),
    "predict": "query",
    **dict.fromkeys(("server", "web", "api", "ui"), "serve"),
    "loss": "losses",
    **dict.fromkeys(("tune", "optimize", "hpo"), "sweep"),
    **dict.fromkeys(("backbone", "networks", "fetch", "download"), "backbones"),
    **dict.fromkeys(("model", "history", "rollback", "checkout"), "models"),
    "version": "--version",
}
_SUMMARIES = {  # for the list of commands, which imports none of them; each fits a line of 80 columns
    "train": "Fine-tune a model on your own photos, and index them.",
    "embed": "Compute embeddings of a catalog or of images.",
    "index": "Index a catalog, with or without a trained model.",
    "eval": "Measure Recall@K, MAP@R and other metrics.",
    "compare": "Find out which loss or backbone suits your photos.",
    "sweep": "Search for a better recipe for your photos.",
    "losses": "List the losses, or show one in detail.",
    "backbones": "List the backbones, and get their weights.",
    "models": "List your models, return to one, or compare two.",
    "status": "Show what the workspace contains.",
    "query": "Search the index by photo.",
    "serve": "Serve a page to search by photo, and an HTTP API.",
    "doctor": "Check a catalog: broken photos, duplicates, leaks.",
    "duplicates": "Group near-identical images or products.",
}


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    arguments = [settings.expand_home(word) for word in arguments]
    if arguments[:1] == ["--"]:
        del arguments[0]
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    command = arguments[0] if arguments and arguments[0] in global_options.COMMANDS else None
    try:
        if arguments and arguments[0] in _SYNONYMS:
            raise UsageError(f"no such command '{arguments[0]}'", hint=f"dmlcli {_SYNONYMS[arguments[0]]}")
        configured = _settings(command, arguments)
        code = _app(command, configured)(
            arguments[1:] if command else arguments,
            prog_name=f"dmlcli {command}" if command else "dmlcli",
            standalone_mode=False,
            default_map=settings.values(configured, _known(command)) if command and configured else None,
            obj=arguments,
        )
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(code or 0)
    except (BrokenPipeError, SystemExit):  # typer turns a closed pipe under --help into an exit
        return pipe_closed()
    except (Exception, KeyboardInterrupt) as error:
        # Typer's own class of usage errors moved between versions
        if not hasattr(error, "format_message") or interrupts.received():
            return ended(error, asked_format(arguments), "--debug" in arguments)
        if dist_env.rank() > 0:
            return 2
        if command and (wrong := _invalid_value(error, command)):
            return failed(str(wrong), wrong.hint, 2, asked_format(arguments), debug=False)
        message = error.format_message().rstrip(".")
        if not arguments:  # the message is the help
            print(message, file=sys.stderr)
            return 2
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path if context else 'dmlcli'} --help"
        return failed(message, hint, 2, asked_format(arguments), debug=False)


def _settings(command: str | None, arguments: list[str]) -> settings.Configured:
    """Return what dmlcli.toml and the environment set for a command; nothing for --help, which shows the defaults."""
    if command is None or not settings.is_there() or {"-h", "--help"} & {*arguments}:
        return {}
    return settings.read({name: _known(name) for name in global_options.COMMANDS}, command)


def _invalid_value(error: Any, command: str) -> UsageError | None:
    """Return an error of Typer about the value of an option, worded as by all other checks; None for other errors."""
    details: list[Any] = getattr(error.__cause__, "errors", list)()  # of pydantic, with which Typer converts values
    wrong = getattr(error, "param", None)
    if wrong is None or not details:
        return None
    parameter = next(own for own in _parameters(command) if own.name == wrong.name)
    annotated, option_spec = get_args(parameter.annotation)
    kind, typed, limits = spec.without_none(annotated), details[0]["input"], option_spec.settings
    value: Any = typed
    choices = tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
    if kind not in (int, float) and not choices:
        return None
    with suppress(ValueError):
        value = typed if choices else kind(typed)
    option = max(option_spec.names or ("--" + parameter.name.replace("_", "-"),), key=len)
    least, most, hint = limits.get("min"), limits.get("max"), limits["help"]
    try:
        option_values.check(option, kind, value, choices=choices, least=least, most=most, typed=str(typed), hint=hint)
    except UsageError as found:
        return found
    return None


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dmlcli {dmlcli.__version__}")
        raise typer.Exit


class _Commands(TyperGroup):
    """All commands with their summaries; only the one that is called is built in full."""

    def resolve_command(self, context: Any, words: list[str]) -> Any:
        name, listed, rest = super().resolve_command(context, words)
        return name, typer.main.get_command(_app(name)) if name and listed else None, rest


def _app(command: str | None, configured: settings.Configured | None = None) -> typer.Typer:
    """Return an app with one command and the settings for it, or with the list of all commands."""
    app = typer.Typer(
        name="dmlcli",
        cls=_Commands,
        help="Product image retrieval from the terminal: train on your own photos, then search by photo.",
        epilog="dmlcli train ./catalog && dmlcli query img.jpg",
        no_args_is_help=True,
        add_completion=command is None,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if command is not None:
        app.command(name=command, cls=PanelCommand)(_command(command, configured or {}))
        return app
    app.callback()(_root)
    for name in global_options.COMMANDS:
        app.command(name=name, help=_SUMMARIES[name])(lambda: None)
    return app


def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _command(command: str, configured: settings.Configured) -> Callable[..., int]:
    """Return a command as Typer takes it: its own signature, and the options of the terminal."""
    function, printing, startup = (
        _function(command),
        global_options.printing(command),
        global_options.startup(command),
    )

    def invoke(context: typer.Context, **options: Any) -> int:
        if "processes" not in startup:
            dist_env.check_alone(command)
        elif (wanted := _processes_to_start(options.pop("processes"))) > 1:
            from dmlcli.learn.training.launcher import launch  # torch starts here

            return launch(context.obj, wanted)
        if "max_pixels" in startup:
            from dmlcli.image import allow_pixels

            allow_pixels(options.pop("max_pixels"))
        asked = {name: options.pop(name) for name in printing}
        next_step.remember(command, options, context.obj)

        def call() -> Any:
            try:
                return function(**options)
            except DmlcliError as error:
                known = _known(command)
                used = [name for name in configured if _is_from_settings(context, known[name].name)]
                settings.name_source(error, configured, used)
                raise

        return guarded(call, **asked)

    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [first, *map(_for_typer, _parameters(command))]
    invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    invoke.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    invoke.__doc__ = function.summary
    return invoke


def _function(command: str) -> Any:
    return spec.documented(getattr(import_module(f"dmlcli.commands.{command}"), command))


def _parameters(command: str) -> list[inspect.Parameter]:
    """Return the parameters of a command: its own, then those of the terminal."""
    own = inspect.signature(_function(command)).parameters.values()
    beside = global_options.printing(command) | global_options.startup(command)
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in beside.items()
    ]


def _for_typer(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter with the option or argument class of Typer."""
    kind, option_spec = get_args(parameter.annotation)
    make = typer.Option if isinstance(option_spec, spec.Option) else typer.Argument
    made = make(*option_spec.names, rich_help_panel=option_spec.panel or None, **option_spec.settings)
    return parameter.replace(annotation=Annotated[kind, made])


def _known(command: str) -> dict[str, settings.Parameter]:
    """Return the options of a command by their names in dmlcli.toml and variables."""
    return dict(map(_settable, _parameters(command)))


def _settable(parameter: inspect.Parameter) -> tuple[str, settings.Parameter]:
    """Return the name of a parameter in dmlcli.toml, and what values it takes."""
    kind, option_spec = get_args(parameter.annotation)
    kind = spec.without_none(kind)
    many = get_origin(kind) is list
    name = max(option_spec.names or (parameter.name,), key=len)
    least, most = option_spec.settings.get("min"), option_spec.settings.get("max")
    one = get_args(kind)[0] if many else kind
    return name.lstrip("-").replace("-", "_"), settings.Parameter(parameter.name, one, many, least, most)


def _is_from_settings(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def _processes_to_start(wanted: int | None) -> int:
    """Return how many processes are to be started; 1 where torchrun has started them."""
    if dist_env.world() == 1:
        return wanted or 1
    if wanted not in (None, dist_env.world()):
        raise UsageError(
            f"torchrun has started {dist_env.world()} processes, and --processes says {wanted}",
            hint="one of the two is enough",
        )
    return 1
