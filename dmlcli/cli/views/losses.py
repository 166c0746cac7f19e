"""All losses in a table, or the details of one."""

import re
from collections.abc import Sequence
from typing import Any

from dmlcli.cli import formatting, terminal_chart
from dmlcli.report.losses import LossCurve, LossesReport, LossRow

_WIDEST = 100  # characters of a plot


def show(report: LossesReport) -> None:
    """Show it as text."""
    if len(report.losses) == 1:
        if report.curves:
            _plot(report.curves)
            return
        _loss(report.losses[0])
        _miners(report)
        return
    table = formatting.table("loss", "family", "batches", "learns", "defaults", "paper")
    for loss in report.losses:
        defaults = ", ".join(f"{s.name} {_setting(s.default)}" for s in loss.settings if s.name != "normalize")
        learned, paper = ", ".join(loss.parameters), _paper(loss.source)
        formatting.add_row(table, loss.name, loss.family, loss.sampler, learned, defaults, paper)
    formatting.console().print(table)
    formatting.hint("dmlcli losses NAME")


def _paper(source: str) -> str:
    """Return authors and venue of the first paper of a source."""
    venue = re.search(r"\b[A-Z]\w+ (?:19|20)\d\d", source)
    return f"{source.partition(',')[0]}, {venue[0]}" if venue else source


def _loss(loss: LossRow) -> None:
    rows = [
        (loss.name, loss.summary),
        ("use", loss.use),
        ("batches", f"{loss.sampler}; {'can' if loss.takes_references else 'cannot'} be used with --memory"),
        ("learns", ", ".join(f"{name} {shape}" for name, shape in loss.parameters.items()) or "no parameters"),
        ("published", loss.published or "-"),
        ("source", loss.source),
    ]
    grid = formatting.table("", "", title=None)
    grid.show_header = False
    for name, text in rows:
        formatting.add_row(grid, formatting.text(name, "bold" if name == loss.name else "dim"), text)
    formatting.console().print(grid)
    print("\n".join(f"    {line}" for line in loss.formula.splitlines()) + "\n")
    settings = formatting.table("setting", "default", "takes", "meaning")
    for setting in loss.settings:
        formatting.add_row(settings, setting.name, _setting(setting.default), ", ".join(setting.takes), setting.meaning)
    formatting.console().print(settings)
    formatting.hint(f"dmlcli train CATALOG --loss {loss.name}")


def _plot(curves: Sequence[LossCurve]) -> None:
    width = min(formatting.console().width, _WIDEST)
    titles = [f"{one.pair} pair" for one in curves]
    values, slopes = [one.values for one in curves], [one.slopes for one in curves]
    for name, numbers in (("loss by the cosine of a pair", values), ("slope: derivative by the cosine", slopes)):
        formatting.say(name)
        series = dict(zip(titles, numbers, strict=True))
        for row in terminal_chart.charts(curves[0].cosines, series, width):
            formatting.say(row)


def _miners(report: LossesReport) -> None:
    if not report.miners:
        return
    table = formatting.table("miner", "selects", "settings")
    for miner in report.miners:
        settings = ", ".join(f"miner.{s.name} {_setting(s.default)}" for s in miner.settings)
        formatting.add_row(table, miner.name, miner.summary, settings)
    formatting.console().print(table)
    formatting.hint(f"dmlcli train CATALOG --loss {report.losses[0].name}:miner={report.miners[0].name}")


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
