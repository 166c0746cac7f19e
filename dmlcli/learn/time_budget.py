"""The time that a run may take (`--budget 10m`): how much is left, and what has to be kept back for the end."""

import re
import time

from dmlcli.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
EXPORT = 20.0  # seconds kept back for writing, checking and optimizing the inference graph: about 14 on two cores
WORTH_STARTING = 0.3  # of an epoch
LEAST = 30.0  # seconds; less is not enough for the graphs alone


class TimeBudget:
    """Runs from when it is made; without a budget time never ends."""

    def __init__(self, budget: float | None = None) -> None:
        self._start = time.monotonic()
        self._end = float("inf") if budget is None else self._start + budget
        self.is_limited = budget is not None

    @property
    def left(self) -> float:
        """Seconds until the budget is used up, infinite where there is none."""
        return self._end - time.monotonic()

    def until(self, reserve: float) -> float:
        """Return the moment, in `time.monotonic()`, from which on only `reserve` seconds are left."""
        return self._end - reserve


class EpochPlanner:
    """The number of epochs that a time budget allows, estimated from those that are done."""

    def __init__(self, time_budget: TimeBudget, after: float, evaluation: float, *, refit_ratio: float) -> None:
        """Plan within a budget.

        Args:
            time_budget: the budget.
            after: seconds of what follows the epochs, without the export.
            evaluation: seconds that scoring one epoch is expected to take.
            refit_ratio: time of the final fit on all photos, in units of the epochs.
        """
        self._time_budget, self._after, self._times = time_budget, after + EXPORT, 1 + refit_ratio
        self._fitted, self._evaluation = 0.0, evaluation  # seconds: of all epochs, and of scoring one
        self._began = time.monotonic()  # the epoch that is running

    def until(self) -> float:
        """Return when the last batch must end, in `time.monotonic()`, so that the final fit can repeat this epoch."""
        return (self._end() + (self._times - 1) * self._began) / self._times

    def _end(self) -> float:
        """Return when the final fit must begin to repeat the epochs that are done."""
        return self._time_budget.until(self._after + self._evaluation + (self._times - 1) * self._fitted)

    def epochs(self, done: int, most: int, fitting: float, evaluation: float) -> int:
        """Return how many epochs there will be; the last is cut short if only part of it fits.

        Args:
            done: epochs so far.
            most: epochs of the recipe.
            fitting: seconds that the last one took.
            evaluation: seconds that scoring it took.
        """
        self._fitted, self._evaluation = self._fitted + fitting, evaluation
        self._began = time.monotonic()
        left = self._end() + evaluation - self._began
        possible = max(0.0, left / max(self._times * fitting + evaluation, 1e-6))
        return int(min(most, done + possible // 1 + (possible % 1 > WORTH_STARTING)))


def seconds(text: str) -> float:
    """Read `90s`, `10m` or `1h30m`; raises UsageError saying how it is written.

    >>> seconds("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"invalid --budget '{text}': not a duration", hint="--budget 10m, 90s or 1h30m")
    found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if found < LEAST:
        raise UsageError(f"invalid --budget {text}: too short", hint=f"--budget {LEAST:.0f}s at the least")
    return found
