"""The verbs as commands of Typer: it parses, completes, shows the help, and says what is wrong with a command line.

Typer builds a command from every option that is registered, so a line that names its verb registers no other verb; nor
of what stands beside the verbs, whose values it would check with a library that takes longer to import than all else.
"""

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
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

_MEANT = {  # what other programs call a verb
    **dict.fromkeys(("search", "find", "lookup", "ask"), "query"),
    **dict.fromkeys(("fit", "finetune", "fine-tune", "learn"), "train"),
    **dict.fromkeys(("evaluate", "test", "score", "validate", "benchmark"), "eval"),
    **dict.fromkeys(("encode", "extract", "features", "vectorize"), "embed"),
    **dict.fromkeys(("build", "add", "update", "insert", "push"), "index"),
    **dict.fromkeys(("check", "lint", "verify"), "doctor"),
    **dict.fromkeys(("dedup", "dedupe", "duplicate"), "duplicates"),
    **dict.fromkeys(("info", "show", "list", "ls"), "status"),
    "predict": "query",
    "loss": "losses",
    "version": "--version",
}
_SUMMARIES = {  # for the list of verbs, which imports none of them; each fits a line of 80 columns
    "train": "Fine-tune a model on your own photos, and index them.",
    "embed": "Compute embeddings of a catalog or of images.",
    "index": "Index a catalog, with or without a trained model.",
    "eval": "Measure Recall@K, MAP@R and other metrics.",
    "compare": "Find out which loss suits your photos.",
    "losses": "List the losses, or show one in detail.",
    "status": "Show what the workspace contains.",
    "query": "Search the index by photo.",
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
    verb = arguments[0] if arguments and arguments[0] in global_options.VERBS else None
    try:
        if arguments and arguments[0] in _MEANT:
            raise UsageError(f"no such command '{arguments[0]}'", hint=f"dmlcli {_MEANT[arguments[0]]}")
        found = _settings(verb, arguments)
        code = _app(verb, found)(
            arguments[1:] if verb else arguments,
            prog_name=f"dmlcli {verb}" if verb else "dmlcli",
            standalone_mode=False,
            default_map=settings.values(found, _known(verb)) if verb and found else None,
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
        if verb and (wrong := _invalid_value(error, verb)):
            return failed(str(wrong), wrong.hint, 2, asked_format(arguments), debug=False)
        message = error.format_message().rstrip(".")
        if not arguments:  # the message is the help
            print(message, file=sys.stderr)
            return 2
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path if context else 'dmlcli'} --help"
        return failed(message, hint, 2, asked_format(arguments), debug=False)


def _settings(verb: str | None, arguments: list[str]) -> settings.Found:
    """What dmlcli.toml and the environment set for the verb; help shows the command as it is."""
    if verb is None or not settings.is_there() or {"-h", "--help"} & {*arguments}:
        return {}
    return settings.read({name: _known(name) for name in global_options.VERBS}, verb)


def _invalid_value(error: Any, verb: str) -> UsageError | None:
    """What Typer says of the value of an option, as every other check words it; None for any other error."""
    details: list[Any] = getattr(error.__cause__, "errors", list)()  # of pydantic, with which Typer converts values
    wrong = getattr(error, "param", None)
    if wrong is None or not details:
        return None
    parameter = next(own for own in _parameters(verb) if own.name == wrong.name)
    annotated, spelt = get_args(parameter.annotation)
    kind, typed, limits = spec.without_none(annotated), details[0]["input"], spelt.settings
    value: Any = typed
    choices = tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
    if kind not in (int, float) and not choices:
        return None
    with suppress(ValueError):
        value = typed if choices else kind(typed)
    option = max(spelt.names or ("--" + parameter.name.replace("_", "-"),), key=len)
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


class _Verbs(TyperGroup):
    """All verbs by name and summary; the one that a line comes to is made a command then."""

    def resolve_command(self, context: Any, words: list[str]) -> Any:
        name, listed, rest = super().resolve_command(context, words)
        return name, typer.main.get_command(_app(name)) if name and listed else None, rest


def _app(verb: str | None, found: settings.Found | None = None) -> typer.Typer:
    """A verb, with what is set for it, as the one command there is; or the list of verbs."""
    app = typer.Typer(
        name="dmlcli",
        cls=_Verbs,
        help="Product image retrieval from the terminal: train on your own photos, then search by photo.",
        epilog="dmlcli train ./catalog && dmlcli query img.jpg",
        no_args_is_help=True,
        add_completion=verb is None,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if verb is not None:
        app.command(name=verb, cls=PanelCommand)(_command(verb, found or {}))
        return app
    app.callback()(_root)
    for name in global_options.VERBS:
        app.command(name=name, help=_SUMMARIES[name])(lambda: None)
    return app


def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _command(verb: str, found: settings.Found) -> Callable[..., int]:
    """A verb as Typer takes it: its own signature, and the options of the terminal."""
    function, printing, before = getattr(dmlcli, verb), global_options.printing(verb), global_options.before(verb)

    def command(context: typer.Context, **options: Any) -> int:
        if "processes" not in before:
            dist_env.check_alone(verb)
        elif (wanted := _to_start(options.pop("processes"))) > 1:
            from dmlcli.learn.training.launcher import launch  # torch starts here

            return launch(context.obj, wanted)
        if "max_pixels" in before:
            from dmlcli.image import allow_pixels

            allow_pixels(options.pop("max_pixels"))
        asked = {name: options.pop(name) for name in printing}
        next_step.remember(verb, options, context.obj)

        def call() -> Any:
            try:
                return function(**options)
            except DmlcliError as error:
                known = _known(verb)
                used = [name for name in found if _is_from_settings(context, known[name].name)]
                settings.name_source(error, found, used)
                raise

        return guarded(call, **asked)

    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [first, *map(_for_typer, _parameters(verb))]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = function.summary
    return command


def _parameters(verb: str) -> list[inspect.Parameter]:
    """What a verb takes at the terminal: its own options, then those of the terminal."""
    own = inspect.signature(getattr(dmlcli, verb)).parameters.values()
    beside = global_options.printing(verb) | global_options.before(verb)
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in beside.items()
    ]


def _for_typer(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter whose spelling is Typer's."""
    kind, spelt = get_args(parameter.annotation)
    make = typer.Option if isinstance(spelt, spec.Option) else typer.Argument
    made = make(*spelt.names, rich_help_panel=spelt.panel or None, **spelt.settings)
    return parameter.replace(annotation=Annotated[kind, made])


def _known(verb: str) -> dict[str, settings.Parameter]:
    """The options of a verb as they are typed, for dmlcli.toml and variables."""
    return dict(map(_settable, _parameters(verb)))


def _settable(parameter: inspect.Parameter) -> tuple[str, settings.Parameter]:
    """A parameter by the name it is typed as."""
    kind, spelt = get_args(parameter.annotation)
    kind = spec.without_none(kind)
    many = get_origin(kind) is list
    name = max(spelt.names or (parameter.name,), key=len)
    least, most = spelt.settings.get("min"), spelt.settings.get("max")
    one = get_args(kind)[0] if many else kind
    return name.lstrip("-").replace("-", "_"), settings.Parameter(parameter.name, one, many, least, most)


def _is_from_settings(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def _to_start(wanted: int | None) -> int:
    """How many processes are to be started; 1 where they are there already."""
    if dist_env.world() == 1:
        return wanted or 1
    if wanted not in (None, dist_env.world()):
        raise UsageError(
            f"torchrun has started {dist_env.world()} processes, and --processes says {wanted}",
            hint="one of the two is enough",
        )
    return 1
