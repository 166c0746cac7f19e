"""The time that a run may take (`--budget 10m`): how much is left, and what has to be kept back for the end."""

import re
import time

from dmlcli.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
EXPORT = 20.0  # seconds kept back for writing, checking and optimizing the inference graph: about 14 on two cores
WORTH_STARTING = 0.3  # of an epoch
_LOOKING = 0.5  # most time for scoring each epoch, in units of training it, where time is limited
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
        self._fitted, self._last = 0.0, 0.0  # seconds: of all epochs, of the last
        self._evaluation = evaluation  # seconds, of scoring one
        self.scores_last_only = False  # because scoring each epoch would take too much of the time
        self._began = time.monotonic()  # the epoch that is running

    def until(self) -> float:
        """Return when the last batch must end, in `time.monotonic()`, so that the final fit can repeat this epoch."""
        return (self._end() + (self._times - 1) * self._began) / self._times

    def _end(self) -> float:
        """Return when the final fit must begin to repeat the epochs that are done, the last of which is scored."""
        return self._time_budget.until(self._after + self._evaluation + (self._times - 1) * self._fitted)

    def trained(self, seconds: float, *, may_skip: bool = False) -> None:
        """Take in an epoch that took so long without its score.

        Args:
            seconds: of the epoch.
            may_skip: whether scores may be left out; the first epoch decides.
        """
        if not self._fitted:
            self.scores_last_only = may_skip and is_costly(self._evaluation, seconds)
        self._last, self._fitted = seconds, self._fitted + seconds
        self._began = time.monotonic()

    def scored(self, seconds: float) -> None:
        """Take in how long scoring the last epoch took."""
        self._evaluation = seconds
        self._began = time.monotonic()

    def epochs(self, done: int, most: int) -> int:
        """Return how many epochs there will be; the last is cut short if only part of it fits.

        Args:
            done: epochs so far.
            most: epochs of the recipe.
        """
        look = 0.0 if self.scores_last_only else self._evaluation
        left = self._end() + look - self._began
        possible = max(0.0, left / max(self._times * self._last + look, 1e-6))
        return int(min(most, done + possible // 1 + (possible % 1 > WORTH_STARTING)))


def is_costly(evaluation: float, epoch: float) -> bool:
    """Return whether scoring an epoch takes so long, beside training it, that only the last is scored.

    Args:
        evaluation: seconds of scoring.
        epoch: seconds of training.
    """
    return evaluation > _LOOKING * epoch


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
