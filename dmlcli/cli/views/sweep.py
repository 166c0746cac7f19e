"""The best recipes of a sweep, and what the photos that it never saw say of the first."""

import shlex
from collections.abc import Mapping
from typing import Any

from dmlcli.cli import formatting
from dmlcli.report.sweep import SweepReport, SweepTrial

_SHOWN = 10  # trials
_ORDINARY = 0.01  # share below which a parameter is not shown


def show(report: SweepReport) -> None:
    """Show it as text."""
    images, products = formatting.count(report.images, "image"), formatting.count(report.products, "product")
    formatting.say(f"searched with {images} of {products}: {report.folds}")
    _trials(report)
    important = {name: share for name, share in report.importance.items() if share >= _ORDINARY}
    if important:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in important.items())
        formatting.say(f"importance: {shares}")
    formatting.say(f"never seen by the search: {report.held_out}")
    _held_out(report)
    formatting.cautions([report.caution] if report.caution else [])
    formatting.err(report.why)
    recipe = f" --recipe {shlex.quote(report.file)}" if report.better else ""
    formatting.say(f"recipe  {report.file}")
    formatting.hint(f"dmlcli train CATALOG{recipe}")


def counts(report: SweepReport) -> str:
    """Return how many trials ended in which way."""
    outcomes = [one.outcome for one in report.trials]
    parts = [f"{outcomes.count(name)} {name}" for name in ("finished", "pruned", "failed") if name in outcomes]
    return f"{formatting.count(len(outcomes), 'trial')}: {', '.join(parts)}"


def settings(changed: Mapping[str, Any]) -> str:
    """Return settings as options of `train`."""
    from dmlcli.learn.recipe import FIELDS
    from dmlcli.learn.setting import format_value

    return " ".join(f"{FIELDS[name].option} {shlex.quote(format_value(value))}" for name, value in changed.items())


def _trials(report: SweepReport) -> None:
    table = formatting.table("trial", "MAP@R", "recipe", title=formatting.text(counts(report)))
    table.columns[1].justify = "right"
    finished = [one for one in report.trials if one.score is not None]
    shown = finished[:_SHOWN]
    shown += [one for one in finished[_SHOWN:] if one.is_default]
    for one in shown:
        formatting.add_row(table, str(one.number), f"{100 * (one.score or 0.0):.2f} %", _recipe(one))
    formatting.console().print(table)
    failed = [one for one in report.trials if one.trouble]
    if failed:
        formatting.cautions([f"trial {failed[0].number} failed: {failed[0].trouble}"])


def _recipe(trial: SweepTrial) -> str:
    return "default" if trial.is_default else settings(trial.changed) or "as the default one"


def _held_out(report: SweepReport) -> None:
    table = formatting.table("products", "score", "best recipe", "default recipe", "difference", "95 % interval")
    for column in range(2, len(table.columns)):
        table.columns[column].justify = "right"
    names = {"map@r": "MAP@R", "recall@1": "Recall@1"}
    for row in report.differences:
        scores = formatting.percent(row.first), formatting.percent(row.second)
        gap = "-" if row.difference is None else f"{100 * row.difference:+.1f}"
        cells = row.search, names.get(row.metric, row.metric), *scores, gap, formatting.span(row.interval95, "+.1f")
        formatting.add_row(table, *cells)
    formatting.console().print(table)
    formatting.say(f"kept by training: {report.chosen} (best recipe), {report.default_chosen} (default recipe)")
