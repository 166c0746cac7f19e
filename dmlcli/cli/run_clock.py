"""The time that a command of several stages will take, corrected as it goes."""

import time
from collections.abc import Callable, Mapping

_PRIOR = 10.0  # expected seconds that count as evidence for the expectations
_LEAST = 0.05  # of a stage, from which on its own pace is trusted; the first advance includes its preparation
_LARGE = 0.2  # of a stage, from which on its first advance is trusted, too


class RunClock:
    """Expected and elapsed seconds of each stage.

    The time that is left is the rest of the current stage, by its own pace once a part of it is done, and the expected
    seconds of the later stages, scaled by how long the stages so far took in relation to what was expected of them.
    """

    def __init__(self, seconds: Mapping[str, float], now: Callable[[], float] = time.monotonic) -> None:
        """`seconds`: of each stage, in their order; `now`: the clock."""
        self._expected = dict(seconds)
        self._now = now
        self._started = self._stage_started = now()
        self._actual: dict[str, float] = {}  # of stages that have ended
        self.current = ""
        self._parts, self._done, self._share = 1, 0, 0.0
        self._reached = self._reached_at = self._step = 0.0  # what is done of the stage, since when, the last advance
        self._first = self._first_at = 0.0  # the first advance

    @property
    def stages(self) -> list[str]:
        """All stages, in their order."""
        return list(self._expected)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._started

    @property
    def left(self) -> float:
        """Expected seconds until the end."""
        return self._left_in_stage() + self._pace() * sum(self._expected[name] for name in self._later())

    @property
    def share(self) -> float:
        """The part that is done, in [0, 1]."""
        elapsed = self.elapsed
        total = elapsed + self.left
        return min(1.0, elapsed / total) if total else 0.0

    def begin(self, name: str, parts: int = 1) -> None:
        """Begin a stage; "" ends the last one."""
        now = self._now()
        if self.current:
            self._actual[self.current] = now - self._stage_started
        if not name:
            self._expected = {done: self._expected[done] for done in self._expected if done in self._actual}
        elif name not in self._expected:  # one that was decided on its way
            names = list(self._expected)
            place = names.index(self.current) + 1 if self.current else 0
            self._expected = {one: self._expected.get(one, 0.0) for one in [*names[:place], name, *names[place:]]}
        self.current, self._stage_started = name, now
        self._parts, self._done, self._share = max(1, parts), 0, 0.0
        self._reached = self._reached_at = self._first = self._first_at = 0.0
        self._step = 1.0

    def correct(self, parts: int) -> None:
        """Correct the number of parts of the current stage."""
        scale = self._parts / max(1, parts)
        self._parts = max(1, parts)
        self._reached, self._first, self._step = (scale * share for share in (self._reached, self._first, self._step))

    def expect(self, name: str, seconds: float) -> None:
        """Correct what is expected of a stage."""
        if name in self._expected:
            self._expected[name] = seconds

    def advance(self, share: float) -> None:
        """Note how much of the current part of the stage is done, in [0, 1]."""
        self._share = share
        self._note()

    def end_part(self) -> None:
        """Note that a part of the stage is done."""
        self._done, self._share = self._done + 1, 0.0
        self._note()

    def reach(self, share: float) -> None:
        """Note how much of the stage is done, in [0, 1]."""
        self._parts, self._done, self._share = 1, 0, share
        self._note()

    def stage_share(self) -> float:
        """Return how much of the current stage is done, in [0, 1]."""
        return min(1.0, (self._done + self._share) / self._parts)

    def _left_in_stage(self) -> float:
        if not self.current:
            return 0.0
        spent = self._now() - self._stage_started
        found = self._by_advances()
        if found is None:
            return max(0.0, self._pace() * self._expected[self.current] - spent)
        due = spent / min(1.0, self._reached + self._step)  # at least, since the next advance has not come yet
        return max(found, due) - spent

    def _by_advances(self) -> float | None:
        """Return the seconds of the current stage by what is done of it; None where that is too little."""
        if self._reached - self._first >= _LEAST:
            each = (self._reached_at - self._first_at) / (self._reached - self._first)
            return self._reached_at + each * (1 - self._reached)
        return self._reached_at / self._reached if self._reached >= _LARGE else None

    def _note(self) -> None:
        """Keep when the share that is done was reached, and by how much it grew."""
        share = self.stage_share()
        if share > self._reached:
            self._step = share - self._reached
            self._reached, self._reached_at = share, self._now() - self._stage_started
            if not self._first:
                self._first, self._first_at = self._reached, self._reached_at

    def _later(self) -> list[str]:
        names = list(self._expected)
        after = names[names.index(self.current) + 1 :] if self.current else names
        return [name for name in after if name not in self._actual]

    def _pace(self) -> float:
        """Return how much longer stages take than expected."""
        spent, expected = sum(self._actual.values()), sum(self._expected[name] for name in self._actual)
        pace = (_PRIOR + spent) / (_PRIOR + expected)
        if not self.current:
            return pace
        now = self._now() - self._stage_started
        return max(pace, (_PRIOR + spent + now) / (_PRIOR + expected + self._expected[self.current]))
