"""Answers one by one, each flushed: a table for people; TSV, CSV, JSON and paths for scripts."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.report.query import Answer, QueryReport


def show(report: QueryReport, format: str | None, nul: bool, pictures: bool = False) -> int:
    """Print the answers as they are computed, and return the exit code.

    Args:
        report: its answers are an iterator.
        format: as `--format`; None: a table on a terminal, else TSV.
        nul: separate paths by NUL.
        pictures: draw the images above the tables.
    """
    format = format or ("table" if sys.stdout.isatty() else "tsv")
    write = _with_pictures() if pictures else _ANSWER_WRITERS[format]
    shown, hits, count = [], 0, 0
    if format == "csv":
        _line("query,rank,score,product,image")
    for answer in report.answers:
        hits, count = hits + len(answer.hits), count + 1
        if format == "json":
            shown.append(_answer_json(answer))
        else:
            write(answer, "\0" if nul else "\n")
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


def _answer_table(answer: Answer, _: str) -> None:
    sure = any(hit.confidence is not None for hit in answer.hits)
    own = ["score", "confidence"] if sure else ["score"]
    table = formatting.table("", *own, "product", "image", title=formatting.text(answer.query))
    for column in range(1 + len(own)):
        table.columns[column].justify = "right"
    for hit in answer.hits:
        style = "bold" if hit.rank == 1 else ""
        score, product = formatting.text(f"{hit.score:.3f}", style), formatting.text(hit.product or "-", style)
        shares = [formatting.text(_share(hit.confidence), style)] if sure else []
        formatting.add_row(table, str(hit.rank), score, *shares, product, formatting.text(hit.image, "dim", fold=True))
    if not answer.hits:
        formatting.add_row(table, "", "", formatting.text(_why_empty(answer), "dim"), "")
    formatting.console().print(table)


def _with_pictures() -> Callable[[Answer, str], None]:
    """Return a writer of tables with the images above them, drawn as the terminal supports."""
    from dmlcli.cli import terminal_images

    terminal = terminal_images.ask()

    def write(answer: Answer, end: str) -> None:
        terminal_images.show(answer, terminal)
        _answer_table(answer, end)

    return write


def _share(confidence: float | None) -> str:
    """Return a probability in whole percent; none is shown as certain."""
    return "-" if confidence is None else f"{min(99, round(100 * confidence))} %"


def _why_empty(answer: Answer) -> str:
    if answer.min_match is not None and answer.match is not None and answer.match < answer.min_match:
        return f"no match: the probability {answer.match:.3f} is below {answer.min_match:.3f} (--max-false-accepts)"
    if answer.match is not None and answer.min_score is None:
        return "no match: no hit has the confidence of --min-confidence"
    if answer.min_score is None or answer.closest is None:
        return "no image satisfies the filters"
    return f"no match: the best score {answer.closest:.3f} is below --min-score {answer.min_score:.3f}"


def _stages(answer: Answer) -> None:
    """Print the stages of --explain on stderr, so that the hits can still be piped."""
    formatting.err(f"{answer.query}: {sum(stage.seconds for stage in answer.stages) * 1000:.1f} ms")
    for stage in answer.stages:
        formatting.err(f"  {stage.seconds * 1000:8.2f} ms  {stage.candidates:>7}  {stage.name}")


def _rows(answer: Answer) -> Iterable[list[str]]:
    return ([answer.query, str(hit.rank), f"{hit.score:.6f}", hit.product, hit.image] for hit in answer.hits)


def _answer_tsv(answer: Answer, _: str) -> None:
    for row in _rows(answer):
        _line(printable.tsv(row))


def _answer_csv(answer: Answer, _: str) -> None:
    for row in _rows(answer):
        _line(printable.csv(row))


def _answer_jsonl(answer: Answer, _: str) -> None:
    _line(printable.dumps({"schema": formatting.SCHEMA} | _answer_json(answer)))


def _answer_paths(answer: Answer, end: str) -> None:
    for hit in answer.hits:
        formatting.path(hit.image, end)


def _answer_json(answer: Answer) -> dict[str, Any]:
    hits = [
        asdict(hit)
        | {"score": round(hit.score, 6), "cosine": round(hit.cosine, 6), "confidence": _rounded(hit.confidence)}
        for hit in answer.hits
    ]
    closest = None if answer.closest is None else round(answer.closest, 6)
    fields = {"query": answer.query, "hits": hits, "closest": closest, "min_score": answer.min_score}
    fields |= {"match": _rounded(answer.match), "min_match": _rounded(answer.min_match)}
    return fields | ({"stages": [stage._asdict() for stage in answer.stages]} if answer.stages else {})


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 6)


def _line(text: str) -> None:
    """Print and flush, so that `| head` and `| jq` see each answer at once."""
    formatting.row(text, flush=True)


_ANSWER_WRITERS: dict[str, Callable[[Answer, str], None]] = {
    "table": _answer_table,
    "tsv": _answer_tsv,
    "csv": _answer_csv,
    "jsonl": _answer_jsonl,
    "json": _answer_jsonl,
    "paths": _answer_paths,
}
