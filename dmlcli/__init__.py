"""Product image retrieval: the commands as functions, each imported on first use."""

TYPE_CHECKING = False  # typing takes longer to import than everything else up to the first line of `main`
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"
__all__ = [
    "backbones",
    "compare",
    "doctor",
    "duplicates",
    "embed",
    "eval",
    "index",
    "losses",
    "models",
    "query",
    "serve",
    "status",
    "sweep",
    "train",
]


def __getattr__(name: str) -> "Any":
    if name in __all__:
        from importlib import import_module

        if name == "losses":
            return import_module("dmlcli.losses")  # the losses as a library; called, it is the command
        from dmlcli.options.spec import documented

        return documented(getattr(import_module(f"dmlcli.commands.{name}"), name))
    raise AttributeError(f"module 'dmlcli' has no attribute '{name}'")
