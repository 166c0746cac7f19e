"""The losses, for a training loop in Python: `losses.ProxyAnchor(num_labels=100, embedding_dim=128, margin=0.2)`.

    from dmlcli import losses

    loss = losses.build("softmax+0.5*triplet:margin=0.3", num_labels=100, embedding_dim=128)
    loss(embeddings, labels).backward()

Each loss of `dmlcli losses` is a class here, named by the words of its name (`fast-ap` is `FastAp`), and each miner is
one in `losses.miners`. A class is imported on first use, and torch with it. `losses()` is the command: it returns the
report of `dmlcli losses`. docs/python.md has examples.
"""

import sys
from importlib import import_module
from types import ModuleType

from dmlcli.learn.losses import names, source_text
from dmlcli.losses import miners as miners

MODULES = {  # where each name is defined
    **{source_text.class_name(name): f"dmlcli.learn.losses.{name.replace('-', '_')}" for name in names()},
    **dict.fromkeys(("LossInfo", "build", "describe", "load", "names", "parameter_groups"), "dmlcli.learn.losses"),
    **dict.fromkeys(("Mined", "SelfSupervised", "WeightedSum"), "dmlcli.learn.losses.composition"),
    "Loss": "dmlcli.learn.losses.interface",
    "Memory": "dmlcli.learn.training.cross_batch_memory",
}
__all__ = sorted([*MODULES, "miners"])


def __getattr__(name: str) -> object:
    if name in MODULES:
        return getattr(import_module(MODULES[name]), name)
    raise AttributeError(f"module 'dmlcli.losses' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__


class _Command(ModuleType):
    """This module can be called, because `dmlcli.losses()` is also a command, as `dmlcli.index()` is."""

    def __call__(self, name: str | None = None, **options: object) -> object:
        from dmlcli.commands.losses import losses

        return losses(name, **options)


sys.modules[__name__].__class__ = _Command
