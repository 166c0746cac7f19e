"""How the learning rate changes over a run: a share of its full height for each epoch (`--schedule`)."""

import math
from collections.abc import Sequence

from dmlcli.spec_strings import Spec

_START = 0.01  # share of the rate that a ramp starts from


def share(spec: Spec, number: int, epochs: int, scores: Sequence[float]) -> float:
    """Return the share of the learning rate, in (0, 1], at epoch `number` (from 1) of `epochs`.

    Args:
        spec: as `--schedule step:every=10,factor=0.5` is parsed.
        number: of the epoch.
        epochs: of the whole run.
        scores: of the epochs before, higher is better; only a plateau looks at them.
    """
    done = number - 1
    if spec.word == "one-cycle":
        return _one_cycle((done + 0.5) / epochs, spec.number("rise"))
    ramp = spec.number("ramp")
    risen = min(1.0, _START + (1 - _START) * done / ramp) if ramp else 1.0
    if spec.word == "cosine":
        low = spec.number("to")
        return risen * (low + (1 - low) * (1 + math.cos(math.pi * done / epochs)) / 2)
    if spec.word == "step":
        return risen * spec.number("factor") ** _steps(spec, done, epochs)
    if spec.word == "plateau":
        return risen * spec.number("factor") ** _plateaus(spec, scores)
    return risen


def _one_cycle(place: float, rise: float) -> float:
    if place < rise:
        return _START + (1 - _START) * (1 - math.cos(math.pi * place / rise)) / 2
    return (1 + math.cos(math.pi * (place - rise) / (1 - rise))) / 2


def _steps(spec: Spec, done: int, epochs: int) -> int:
    every = _in_epochs(spec.number("every"), epochs)
    return (int(done // every) if every else 0) + sum(done >= _in_epochs(at, epochs) for at in spec.numbers("at"))


def _in_epochs(place: float, epochs: int) -> float:
    return place if place >= 1 else place * epochs


def _plateaus(spec: Spec, scores: Sequence[float]) -> int:
    """Return how often `patience` epochs went by without a score better than the best by the share `threshold`."""
    found, best, waited = 0, -math.inf, 0
    for score in scores:
        if best == -math.inf or score > best + spec.number("threshold") * abs(best):
            best, waited = score, 0
        else:
            waited += 1
        if waited > spec.number("patience"):
            found, waited = found + 1, 0
    return found
