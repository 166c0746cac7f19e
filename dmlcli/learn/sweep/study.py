"""The trials of a sweep in an SQLite file: Optuna draws them, several processes share them, and none is lost.

A trial is drawn under a lock, and has a lock file of its own while it runs. A trial whose process died is tried again.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from dmlcli import storage
from dmlcli.errors import CannotRun
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.recipe_files import from_toml, resolve, to_toml
from dmlcli.learn.sweep.space import Space
from dmlcli.report.sweep import SweepTrial, TrialOutcome

Method = Literal["tpe", "random"]
FILE = "study.db"
_NAME = "sweep"
_FIRST = 10  # trials that TPE draws at random
_UNPRUNED = 5  # trials before the first that may be pruned
_WAIT = 0.05  # seconds until a lock is tried again
_PATIENCE = 60.0  # seconds that SQLite waits for another process
_BASE, _RECIPE, _TROUBLE = "base", "recipe", "trouble"  # what a trial records beside its parameters
_LEAST_FOR_IMPORTANCE = 4  # finished trials
_OUTCOMES: Mapping[TrialState, TrialOutcome] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Pruned(Exception):
    """A trial is stopped, because others were better by then."""


class Trial:
    """A trial that this process runs, with the recipe that it tries."""

    def __init__(self, trial: optuna.Trial, recipe: Recipe, lock: tuple[Path, int], *, is_base: bool) -> None:
        self.optuna, self.recipe, self.is_base = trial, recipe, is_base
        self._lock = lock

    def report(self, step: int, gain: float) -> None:
        """Record how good the trial is at a step; raise Pruned where it is below the median of the others."""
        with _reading(self._lock[0].parent):
            self.optuna.report(gain, step)
            stop = not self.is_base and self.optuna.should_prune()
        if stop:
            raise Pruned

    def release(self) -> None:
        """Give the lock back."""
        file, handle = self._lock
        file.unlink(missing_ok=True)
        os.close(handle)


class Study:
    """The study of one sweep, in a folder of the workspace."""

    def __init__(self, folder: Path, space: Space, method: Method, warmup: int) -> None:
        """Open it, or begin it with a trial of the base recipe.

        Args:
            folder: keeps the file and the locks.
            space: what trials are drawn from.
            method: how they are drawn.
            warmup: epochs before a trial can be pruned.

        Raises:
            CannotRun: the file is damaged, or cannot be written.
        """
        self._folder, self._space = folder, space
        storage.make_folder(folder)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self._alone():
            self._study = optuna.create_study(
                storage=optuna.storages.RDBStorage(f"sqlite:///{FILE}", {"creator": self._connect}),
                sampler=_Seeded(method, space.base.seed),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED, n_warmup_steps=warmup),
                study_name=_NAME,
                direction="maximize",
                load_if_exists=True,
            )
            if not self._study.get_trials(deepcopy=False):
                self._try_base()

    def next(self, most: int) -> Trial | None:
        """Return a new trial; None if there are enough with those that run in other processes."""
        with self._alone():
            alive = 0
            for one in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                if storage.is_locked(self._lock_of(one.number)):
                    alive += 1
                else:
                    self._try_again(one)
            if len(self._finished()) + alive >= most:
                return None
            trial = self._study.ask()
            lock = self._lock_of(trial.number)
            handle, is_base = storage.lock(lock), bool(trial.user_attrs.get(_BASE))
            recipe = self._space.draw(trial)
            recipe = self._space.base if is_base else recipe
            trial.set_user_attr(_RECIPE, to_toml(recipe))
        return Trial(trial, recipe, (lock, handle), is_base=is_base)

    def end(self, trial: Trial, score: float | None = None, *, trouble: str = "") -> None:
        """Record the end of a trial.

        Args:
            trial: that this process ran.
            score: None: the trial was pruned or failed.
            trouble: why it failed.
        """
        with _reading(self._folder):
            if trouble:
                trial.optuna.set_user_attr(_TROUBLE, trouble)
                self._study.tell(trial.optuna, state=TrialState.FAIL)
            elif score is None:
                self._study.tell(trial.optuna, state=TrialState.PRUNED)
            else:
                self._study.tell(trial.optuna, score)
        trial.release()

    def trials(self) -> list[SweepTrial]:
        """Return the trials that are done, the best first: finished ones, then pruned and failed ones."""
        with _reading(self._folder):
            rows = [_row(one, self._changed(one)) for one in self._finished()]
        return sorted(rows, key=lambda row: (row.score is None, -(row.score or 0.0), row.number))

    def recipe(self, number: int) -> Recipe:
        """Return the recipe of a trial."""
        with _reading(self._folder):
            return self._recipe(self._study.get_trials(deepcopy=False)[number])

    def importance(self) -> dict[str, float]:
        """Return the share of each parameter in the differences between trials, the most important first.

        Parameters that not every trial has, such as the settings of one of several losses, are not among them.
        """
        with _reading(self._folder):
            done = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
            if len(done) < _LEAST_FOR_IMPORTANCE or len({one.value for one in done}) < 2:
                return {}
            common = sorted(set.intersection(*({*one.params} for one in done)))
            return get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(), params=common)

    def _finished(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False, states=tuple(_OUTCOMES))
        return [one for one in trials if one.state != TrialState.FAIL or one.user_attrs.get(_TROUBLE)]

    def _recipe(self, trial: FrozenTrial) -> Recipe:
        return resolve(None, from_toml(str(trial.user_attrs[_RECIPE]), self._folder / FILE))

    def _changed(self, trial: FrozenTrial) -> dict[str, Any]:
        base = asdict(self._space.base)
        return {name: value for name, value in asdict(self._recipe(trial)).items() if value != base[name]}

    def _try_base(self) -> None:
        self._study.enqueue_trial(self._space.defaults(), user_attrs={_BASE: True})

    def _try_again(self, lost: FrozenTrial) -> None:
        """Queue a trial whose process died once more; its lock file is left over."""
        self._study.tell(lost.number, state=TrialState.FAIL)
        self._lock_of(lost.number).unlink(missing_ok=True)
        if lost.user_attrs.get(_BASE):
            self._try_base()
        else:
            self._study.enqueue_trial(lost.params)

    def _lock_of(self, number: int) -> Path:
        return self._folder / f"trial-{number}.lock"

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / FILE, timeout=_PATIENCE, check_same_thread=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, no other process draws a trial."""
        file = self._folder / "drawing.lock"
        while True:
            try:
                handle = storage.lock(file)
                break
            except storage.Locked:
                time.sleep(_WAIT)
        try:
            with _reading(self._folder):
                yield
        finally:
            os.close(handle)


class _Seeded(BaseSampler):
    """Draws each trial by a sampler whose seed is the seed of the sweep and the number of the trial.

    So a sweep that is continued, or shared by processes, never draws the same numbers twice.
    """

    def __init__(self, method: Method, seed: int) -> None:
        self._method, self._seed = method, seed
        self._own = self._sampler(0)

    def _sampler(self, number: int) -> BaseSampler:
        seed = (self._seed * 100_003 + number) % 2**32
        if self._method == "random":
            return RandomSampler(seed=seed)
        return TPESampler(n_startup_trials=_FIRST, multivariate=True, seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._own = self._sampler(trial.number)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._own.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._own.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._own.sample_independent(study, trial, param_name, param_distribution)


def _row(trial: FrozenTrial, changed: dict[str, Any]) -> SweepTrial:
    began, ended = trial.datetime_start, trial.datetime_complete
    return SweepTrial(
        number=trial.number,
        outcome=_OUTCOMES[trial.state],
        score=trial.value if trial.state == TrialState.COMPLETE else None,
        changed=changed,
        is_default=bool(trial.user_attrs.get(_BASE)),
        seconds=(ended - began).total_seconds() if began and ended else 0.0,
        trouble=str(trial.user_attrs.get(_TROUBLE, "")),
    )


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn errors of SQLite into CannotRun."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        raise CannotRun(
            f"cannot use {folder / FILE}: {cause}", hint=f"if it is damaged, delete {folder} to begin the sweep again"
        ) from error
