"""Table of compared losses, best first."""

import shlex

from dmlcli.cli import formatting
from dmlcli.report.compare import CompareReport


def show(report: CompareReport) -> None:
    """Show it as text."""
    shows_seen = any(one.seen_map_at_r is not None for one in report.contenders)
    own = ["seen: R@1", "MAP@R"] if shows_seen else []
    unseen = ["unseen: R@1", "product R@3", "MAP@R", "over frozen", "95 % interval"]
    table = formatting.table("loss", *unseen, *own, "seconds")
    for column in range(1, 2 + len(unseen) + len(own)):
        table.columns[column].justify = "right"
    for one in report.contenders:
        gain = "-" if one.gain is None else f"{100 * one.gain:+.1f}"
        scores = [one.recall_at_1, one.product_recall.get("product_recall@3"), one.map_at_r]
        seen = [one.seen_recall_at_1, one.seen_map_at_r] if shows_seen else []
        span = formatting.span(one.gain_interval95, "+.1f")
        shown = [*map(formatting.percent, scores), gain, span, *map(formatting.percent, seen), f"{one.seconds:.1f}"]
        formatting.add_row(table, one.name, *shown)
    fitted = f"{formatting.count(report.images, 'image')} of {formatting.count(report.products, 'product')}"
    formatting.say(f"fitted on {fitted}; {report.protocol}")
    formatting.console().print(table)
    formatting.cautions([f"{one.name}: {one.trouble}" for one in report.contenders if one.trouble])
    formatting.err(report.why)
    loss = f" --loss {shlex.quote(report.recommended)}" if report.recommended else ""
    formatting.hint(f"dmlcli train CATALOG{loss}")
