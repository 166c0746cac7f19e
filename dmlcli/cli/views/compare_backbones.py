"""Table of compared backbones, in the order in which they were listed."""

import shlex

from dmlcli.cli import formatting
from dmlcli.report.compare_backbones import CompareBackbonesReport, Scored


def show(report: CompareBackbonesReport) -> None:
    """Show it as text."""
    searches = list(report.backbones[0].with_head)
    images, products = formatting.count(report.images, "image"), formatting.count(report.products, "product")
    formatting.say(f"{images} of {products}; held out: {report.protocol}")
    for search in searches:
        _search(report, search)
    _cost(report)
    formatting.err(report.why)
    formatting.hint(f"dmlcli train CATALOG{_option(report)}")


def _search(report: CompareBackbonesReport, search: str) -> None:
    """Print the scores in one search."""
    title = formatting.text(f"{search} products")
    table = formatting.table("backbone", "head", "R@1", "MAP@R", "95 % interval", "over first", title=title)
    table.add_column("95 % interval")
    for column in range(2, len(table.columns)):
        table.columns[column].justify = "right"
    for one in report.backbones:
        is_first = one is report.backbones[0]
        for head, scores in (("none", one.untrained), ("LDA", one.with_head)):
            name = formatting.text(one.name if head == "none" else "", fold=True)
            formatting.add_row(table, name, head, *_cells(scores[search], is_first))
    formatting.console().print(table)


def _cells(scored: Scored, is_first: bool) -> list[str]:
    own = [f"{100 * scored.recall_at_1:.1f}", f"{100 * scored.map_at_r:.1f}", formatting.span(scored.interval95)]
    gain = ["-", "-"] if is_first else [f"{100 * scored.gain:+.1f}", formatting.span(scored.gain_interval95, "+.1f")]
    return own + gain


def _cost(report: CompareBackbonesReport) -> None:
    """Print what a thousand photos cost."""
    table = formatting.table("a thousand photos", "CPU s", "MB without head", "MB with head")
    for column in (1, 2, 3):
        table.columns[column].justify = "right"
    for one in report.backbones:
        sizes = f"{one.megabytes_a_thousand:.1f}", f"{one.head_megabytes_a_thousand:.1f}"
        formatting.add_row(table, formatting.text(one.name, fold=True), f"{one.seconds_a_thousand:.1f}", *sizes)
    formatting.console().print(table)


def _option(report: CompareBackbonesReport) -> str:
    """Return the options of `train` that take the recommended backbone, or the first where none is recommended."""
    chosen = next((one for one in report.backbones if one.name == report.recommended), report.backbones[0])
    weights = f" --weights {shlex.quote(chosen.weights)}" if chosen.weights_are_a_file else ""
    return f" --backbone {shlex.quote(chosen.name)}{weights}"
