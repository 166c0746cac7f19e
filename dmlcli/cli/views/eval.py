"""Evaluation report: scores with intervals, notes and errors; tables as CSV, Markdown and LaTeX."""

import shlex
import sys
from collections.abc import Callable, Sequence

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.evaluation.metric_labels import metric_title
from dmlcli.evaluation.published import among
from dmlcli.report.eval import Against, CatalogScores, EvalReport, Reranked

_WORST = 3
_ALL = "all"  # catalogs
_COMPARED = ["other", "difference", "95 % interval", ""]
_COMPARED_NUMBERS = ["other", "difference", "difference_low", "difference_high"]


def show(report: EvalReport) -> None:
    """Show it as text."""
    queries = (
        f"{formatting.count(report.queries, 'query', 'queries')} of {formatting.count(report.products, 'product')}"
    )
    label = ", includes training products" if report.includes_training else ""
    formatting.say(
        f"{report.protocol}: {queries} among {formatting.count(report.gallery, 'image')} ({report.scope}{label})"
    )
    headings, rows = _cells(report)
    table = formatting.table(*headings)
    for column in range(1, len(headings)):
        table.columns[column].justify = "right"
    for row in rows:
        formatting.add_row(table, *row)
    formatting.console().print(table)
    if report.by_catalog:
        _by_catalog(report.by_catalog)
    if (found := report.reliability) is not None:
        formatting.say(
            f"confidence of the first product: {formatting.percent(found.confidence)} on average, "
            f"{formatting.percent(found.right)} are right; "
            f"expected calibration error {found.expected_calibration_error:.3f}"
        )
    if report.reranked:
        _reranked(report)
    if report.against is not None:
        _verdict(report.against)
    if report.published:
        _literature(report)
    _failures(report)
    _notes(report)


def print_table(report: EvalReport, format: str) -> None:
    """Print the scores as a table for a document or a spreadsheet."""
    headings, rows = _numbers(report) if format == "csv" else _cells(report)
    if report.reranked:
        headings, rows = _with_reranked(report, headings, rows, numbers=format == "csv")
    if report.by_catalog:
        headings, rows = _with_catalogs(report, headings, rows, numbers=format == "csv")
    safe = [[printable.text(cell) for cell in row] for row in rows] if format != "csv" else rows
    print(TABLES[format](headings, safe), end="")
    _notes(report)


def _cells(report: EvalReport) -> tuple[list[str], list[list[str]]]:
    """Return the table of scores as people read it."""
    headings = ["metric", "score", "95 % interval"]
    if report.against is not None:
        headings += _COMPARED
    rows = []
    for name, score in report.metrics.items():
        row = [metric_title(name), _percent(score), _span(report.interval95[name])]
        if report.against is not None:
            row += [_percent(report.against.metrics[name]), *_gap(report.against, name)]
        rows.append(row)
    return headings, rows


def _numbers(report: EvalReport) -> tuple[list[str], list[list[str]]]:
    """Return the table of scores as programs read it: shares in [0, 1], nothing where there is none."""
    headings = ["metric", "score", "low", "high"]
    if report.against is not None:
        headings += _COMPARED_NUMBERS
    rows = []
    for name, score in report.metrics.items():
        values: list[float | None] = [score, *(report.interval95[name] or (None, None))]
        if report.against is not None:
            values += [report.against.metrics[name], *_gap_numbers(report.against, name)]
        rows.append([name, *map(_number, values)])
    return headings, rows


def _with_reranked(
    report: EvalReport, headings: list[str], rows: list[list[str]], numbers: bool
) -> tuple[list[str], list[list[str]]]:
    """Return the table with a first column that says which ranking, and rows for those beside the plain one."""
    blank = "" if numbers else "-"
    between = len(headings) - (len(_COMPARED_NUMBERS) if report.against else 0)  # columns up to the differences
    full = ["ranking", *headings[:between], *(_COMPARED_NUMBERS if numbers else _COMPARED)]
    lines = [["plain", *row, *[blank] * (len(full) - 1 - len(row))] for row in rows]
    for one in report.reranked:
        for name, score in one.metrics.items():
            if numbers:
                values = [score, None, None, one.plain[name], *_gap_numbers(one, name)]
                lines.append([one.name, name, *map(_number, values)])
            else:
                cells = [_percent(score), "-", _percent(one.plain[name]), *_gap(one, name)]
                lines.append([one.name, metric_title(name), *cells])
    return full, lines


def _with_catalogs(
    report: EvalReport, headings: list[str], rows: list[list[str]], numbers: bool
) -> tuple[list[str], list[list[str]]]:
    """Return the table with columns that say who is searched among whom, and rows for each catalog."""
    blank = "" if numbers else "-"
    lines = [[_ALL, _ALL, str(report.queries), str(report.gallery), *row] for row in rows]
    before = ["plain"] if report.reranked else []
    for one in report.by_catalog:
        for name, score in one.metrics.items():
            span = one.interval95[name]
            cells = (
                [name, *map(_number, [score, *(span or (None, None))])]
                if numbers
                else [metric_title(name), _percent(score), _span(span)]
            )
            line = [one.queries_of, one.gallery_of or _ALL, str(one.queries), str(one.gallery), *before, *cells]
            lines.append([*line, *[blank] * (4 + len(headings) - len(line))])
    named = ["queries_of", "gallery_of"] if numbers else ["queries of", "gallery of"]
    return [*named, "queries", "gallery", *headings], lines


def _gap(other: Against | Reranked, name: str) -> list[str]:
    """Return a difference, its interval, and whether it is significant."""
    gap = other.difference[name]
    lines = [f"{100 * gap:+.1f}" if gap is not None else "-", formatting.span(other.interval95[name], "+.1f")]
    return [*lines, "" if other.significant[name] else "not significant"]


def _gap_numbers(other: Against | Reranked, name: str) -> list[float | None]:
    return [other.difference[name], *(other.interval95[name] or (None, None))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _csv(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"{printable.csv(row)}\n" for row in (headings, *rows))


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    line = "|" + "|".join(["---", *["---:"] * (len(headings) - 1)]) + "|"
    return "\n".join([f"| {' | '.join(headings)} |", line, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _latex(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = [" & ".join(cell.replace("%", r"\%").replace("_", r"\_") for cell in row) + r" \\" for row in rows]
    head = " & ".join(cell.replace("%", r"\%") for cell in headings) + r" \\"
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}", r"\hline", head, r"\hline", *body, r"\hline"]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


TABLES: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]]], str]] = {
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
}


def _by_catalog(rows: Sequence[CatalogScores]) -> None:
    """Print a row for each catalog that was searched with the queries of another."""
    names = list(rows[0].metrics)
    scores = [heading for name in names for heading in (metric_title(name), "95 % interval")]
    table = formatting.table("queries of", "gallery of", "queries", "products", "gallery", *scores)
    for column in range(2, 5 + len(scores)):
        table.columns[column].justify = "right"
    for one in rows:
        counts = (str(one.queries), str(one.products), str(one.gallery))
        cells = [cell for name in names for cell in (_percent(one.metrics[name]), _span(one.interval95[name]))]
        formatting.add_row(table, one.queries_of, one.gallery_of or _ALL, *counts, *cells)
    formatting.console().print(table)


def _reranked(report: EvalReport) -> None:
    """Print a block of rows for each re-ranking method, with its time."""
    table = formatting.table("re-ranking", "metric", "score", *_COMPARED[1:], "ms a query")
    for column in (2, 3, 4, 6):
        table.columns[column].justify = "right"
    for one in report.reranked:
        for place, (name, score) in enumerate(one.metrics.items()):
            first = (one.name, f"{one.milliseconds:.1f}") if not place else ("", "")
            formatting.add_row(table, first[0], metric_title(name), _percent(score), *_gap(one, name), first[1])
    formatting.console().print(table)


def _verdict(against: Against) -> None:
    """Print a line that interprets the differences."""
    name = "map@r" if "map@r" in against.difference else next(iter(against.difference))
    gap = against.difference[name]
    if gap is None:
        formatting.say(f"against {against.name}: no score to compare")
    elif not against.significant[name]:
        formatting.say(f"against {against.name}: no significant difference ({metric_title(name)} {100 * gap:+.1f})")
    else:
        better = "better" if gap > 0 else "worse"
        formatting.say(f"against {against.name}: {better}, {metric_title(name)} {100 * gap:+.1f}; significant (95 %)")


def _literature(report: EvalReport) -> None:
    ks = list(dict.fromkeys(name for row in report.published for name in row.recall))
    table = formatting.table("method", "year", "network", "dim", *(metric_title(name) for name in ks), "source", "")
    for column in range(3, 4 + len(ks)):
        table.columns[column].justify = "right"
    for row, own in among(report):
        scores = [f"{100 * value:.1f}" if (value := row.recall.get(name)) is not None else "-" for name in ks]
        year, dim = ("", "") if own else (str(row.year), str(row.dim or "-"))
        cells = [row.method, year, row.network, dim, *scores, row.source, row.mark]
        formatting.add_row(table, *cells, style="bold green" if own else "")
    formatting.console().print(table)
    print("V: verified in the source; M: from memory. Most papers select their epoch on the test set.")


def _failures(report: EvalReport) -> None:
    """Print the worst products."""
    worst = [one for one in report.insight.products[:_WORST] if one.recall_at_1 < 1] if report.insight else []
    if worst:
        lines = []
        for one in worst:
            other = f", {one.times} confused with {one.confused_with}" if one.confused_with else ""
            lines.append(f"{one.name} ({formatting.percent(one.recall_at_1)} of {one.queries}{other})")
        formatting.note(f"worst products: {'; '.join(lines)}")


def _notes(report: EvalReport) -> None:
    """Print notes and warnings about the score on stderr."""
    if report.without_positive:
        count = "counted as 0" if report.missing_as_zero else "left out of the means"
        formatting.note(
            f"{count}: {formatting.count(report.without_positive, 'query', 'queries')} without a relevant image"
        )
    if report.includes_training:
        formatting.note("this score includes training products; scores of unseen products are lower")
    if report.trained_products:
        formatting.note(f"the model was trained on {report.trained_products} of these products")
    formatting.cautions(report.warnings)
    if all(value is None for value in report.metrics.values()):
        formatting.err("dmlcli: no query has a relevant image in the gallery, so nothing can be scored")
    for short in report.failed:
        formatting.err(f"dmlcli: below the minimum: {short}")
    if report.page is not None:
        formatting.hint(f"{'open' if sys.platform == 'darwin' else 'xdg-open'} {shlex.quote(report.page)}")


def _span(interval: tuple[float, float] | None) -> str:
    return f"{100 * interval[0]:.1f} - {100 * interval[1]:.1f} %" if interval else "-"


def _percent(score: float | None) -> str:
    return formatting.percent(score) if score is not None else "-"
