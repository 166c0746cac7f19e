"""The miners, which select the pairs or triplets of a batch: `losses.miners.MultiSimilarity(epsilon=0.2)`.

    selected = losses.miners.TripletMargin(margin=0.1)(embeddings, labels)
    losses.Triplet(num_labels=100, embedding_dim=128)(embeddings, labels, triplets=selected)

A class is imported on first use, and torch with it.
"""

from importlib import import_module

from dmlcli.learn.losses import miners, source_text

MODULES = {  # where each name is defined
    **{source_text.class_name(name): f"{miners.__name__}.{name.replace('-', '_')}" for name in miners.names()},
    **dict.fromkeys(("MinerInfo", "describe", "load", "names"), miners.__name__),
    "Miner": f"{miners.__name__}.interface",
}
__all__ = sorted(MODULES)


def __getattr__(name: str) -> object:
    if name in MODULES:
        return getattr(import_module(MODULES[name]), name)
    raise AttributeError(f"module 'dmlcli.losses.miners' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
