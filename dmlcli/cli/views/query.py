"""Answers one by one, each flushed: a table for people; TSV, CSV, JSON and paths for scripts."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.report.query import HEADINGS, Answer, Columns, QueryReport, answer_json, cells, plain_cells


def show(report: QueryReport, format: str | None, nul: bool, pictures: bool = False, output: Path | None = None) -> int:
    """Print the answers as they are computed, or write them to a file, and return the exit code.

    Args:
        report: its answers are an iterator.
        format: as `--format`; None: a table on a terminal, else TSV.
        nul: separate paths by NUL.
        pictures: draw the images above the tables.
        output: the file; None: stdout.
    """
    if output is None:
        return _printed(report, format, nul, pictures)
    if format == "xlsx":
        from dmlcli.pages import workbook

        hits = sum(len(answer.hits) for answer in workbook.writing(output, report.answers, report.columns))
        formatting.skipped(report.skipped)
        return formatting.exit_code(report.skipped, says_no=not hits)
    from dmlcli.cli import output_file

    with output_file.printed_to(output):
        return _printed(report, format, nul, pictures)


def _printed(report: QueryReport, format: str | None, nul: bool, pictures: bool) -> int:
    format = format or ("table" if sys.stdout.isatty() else "tsv")
    write = _with_pictures() if pictures else _ANSWER_WRITERS[format]
    shown, hits, count = [], 0, 0
    if format == "csv":
        _line(printable.csv([*HEADINGS, *report.columns.headings(HEADINGS)]))
    for answer in report.answers:
        hits, count = hits + len(answer.hits), count + 1
        if format == "json":
            shown.append(answer_json(answer))
        else:
            write(answer, report.columns, "\0" if nul else "\n")
            if answer.stages and format != "jsonl":
                _stages(answer)
    if format == "json":
        skipped = [asdict(failure) for failure in report.skipped]
        whole = {"schema": formatting.SCHEMA, "index": report.index, "answers": shown, "skipped": skipped}
        _line(printable.dumps(whole))
    if not count and not report.skipped:
        formatting.err("dmlcli: no query: no photo was given")
    formatting.skipped(report.skipped)
    return formatting.exit_code(report.skipped, says_no=not hits)


def _answer_table(answer: Answer, columns: Columns, _: str) -> None:
    names = list(columns.decimals) if columns.chosen else []
    sure = any(hit.confidence is not None for hit in answer.hits)
    own = ["score", "confidence"] if sure else ["score"]
    table = formatting.table("", *own, "product", title=formatting.text(_title(answer)))
    for name in (*(columns.headings(HEADINGS) if names else ()), "image"):
        table.add_column(formatting.text(name))
    for column in range(1 + len(own)):
        table.columns[column].justify = "right"
    for hit in answer.hits:
        style = "bold" if hit.rank == 1 else ""
        score, product = formatting.text(f"{hit.score:.3f}", style), formatting.text(hit.product or "-", style)
        row = [formatting.text(hit.percent() or "-", style)] if sure else []
        row += [product, *(formatting.text(cell, style) for cell in (columns.texts(hit) if names else ()))]
        formatting.add_row(table, str(hit.rank), score, *row, formatting.file_link(hit.image, "dim"))
    if not answer.hits:
        formatting.add_row(table, "", "", formatting.text(answer.why_empty(), "dim"), *[""] * len(names), "")
    formatting.console().print(table)


def _title(answer: Answer) -> str:
    """Return the query, with the part that --crop auto or each chose as --crop takes it."""
    if answer.crop is None:
        return answer.query
    left, top, right, bottom = answer.crop
    return f"{answer.query} --crop {left:.0f},{top:.0f},{right - left:.0f},{bottom - top:.0f}"


def _with_pictures() -> Callable[[Answer, Columns, str], None]:
    """Return a writer of tables with the images above them, drawn as the terminal supports."""
    from dmlcli.cli import terminal_images

    terminal = terminal_images.ask()

    def write(answer: Answer, columns: Columns, end: str) -> None:
        terminal_images.show(answer, terminal)
        _answer_table(answer, columns, end)

    return write


def _stages(answer: Answer) -> None:
    """Print the stages of --explain on stderr, so that the hits can still be piped."""
    formatting.err(f"{answer.query}: {sum(stage.seconds for stage in answer.stages) * 1000:.1f} ms")
    for stage in answer.stages:
        formatting.err(f"  {stage.seconds * 1000:8.2f} ms  {stage.candidates:>7}  {stage.name}")


def _answer_tsv(answer: Answer, columns: Columns, _: str) -> None:
    for hit in answer.hits:
        _line(printable.tsv([*plain_cells(answer, hit), *(columns.texts(hit) if columns.chosen else ())]))


def _answer_csv(answer: Answer, columns: Columns, _: str) -> None:
    for hit in answer.hits:
        _line(printable.csv(cells(answer, hit, columns)))


def _answer_jsonl(answer: Answer, _columns: Columns, _: str) -> None:
    _line(printable.dumps({"schema": formatting.SCHEMA} | answer_json(answer)))


def _answer_paths(answer: Answer, _: Columns, end: str) -> None:
    for hit in answer.hits:
        formatting.path(hit.image, end)


def _line(text: str) -> None:
    """Print and flush, so that `| head` and `| jq` see each answer at once."""
    formatting.row(text, flush=True)


_ANSWER_WRITERS: dict[str, Callable[[Answer, Columns, str], None]] = {
    "table": _answer_table,
    "tsv": _answer_tsv,
    "csv": _answer_csv,
    "jsonl": _answer_jsonl,
    "json": _answer_jsonl,
    "paths": _answer_paths,
}
