"""The time that a run may take (`--budget 10m`): how much is left, and what has to be kept back for the end."""

import re
import time

from dmlcli.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
EXPORT = 20.0  # seconds kept back for writing, checking and optimizing the inference graph: about 14 on two cores
_WORTH_STARTING = 0.3  # of an epoch
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
    """How many epochs a budget allows, learned from those that are done.

    What is trained once more on all photos in the end counts as often (`again`, times its epochs).
    """

    def __init__(self, time_budget: TimeBudget, after: float, judging: float, *, again: float) -> None:
        """`after`: seconds of what comes after the epochs, the export left out; `judging`: of one, as expected."""
        self._clock, self._after, self._times = time_budget, after + EXPORT, 1 + again
        self._fitted, self._judging = 0.0, judging  # seconds: of all epochs, and of judging one

    def until(self) -> float:
        """When the last batch has to be over, in `time.monotonic()`."""
        return self._clock.until(self._after + self._judging + (self._times - 1) * self._fitted)

    def epochs(self, done: int, most: int, fitting: float, judging: float) -> int:
        """Return how many epochs there will be; where there is time for a part of one, the last is cut short.

        Args:
            done, most: epochs behind, and those asked for.
            fitting, judging: seconds that the last one took.
        """
        self._fitted, self._judging = self._fitted + fitting, judging
        left = self.until() + judging - time.monotonic()
        possible = max(0.0, left / max(self._times * fitting + judging, 1e-6))
        return int(min(most, done + possible // 1 + (possible % 1 > _WORTH_STARTING)))


def seconds(text: str) -> float:
    """Read `90s`, `10m` or `1h30m`; raises UsageError saying how it is written.

    >>> seconds("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"'{text}' is no length of time", hint="--budget 10m, 90s or 1h30m")
    found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if found < LEAST:
        raise UsageError(f"--budget {text} is not enough for anything", hint=f"--budget {LEAST:.0f}s at the least")
    return found
