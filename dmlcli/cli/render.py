"""From a report to what is shown: tables for people, TSV, CSV, JSON and paths for scripts.

The only file that prints results.
"""

import csv
import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dmlcli.report import (
    Answer,
    CompareReport,
    EmbedReport,
    EvalReport,
    IndexReport,
    LossesReport,
    LossRow,
    QueryReport,
    Skipped,
    StatusReport,
    TrainReport,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

SCHEMA = 1
DONE, NO, PARTLY = 0, 1, 3  # exit codes that are answers
_LISTED = 10  # skipped inputs told by name for each reason


def show(report: Any, format: str | None, nul: bool = False) -> int:
    """Print a report to stdout, its hints and skipped inputs to stderr; return the exit code."""
    if isinstance(report, QueryReport):
        return _query(report, format or ("table" if sys.stdout.isatty() else "tsv"), nul)
    if format == "json":
        print(json.dumps(_as_json(report), ensure_ascii=False))
    else:
        _TABLES[type(report)](report)
    sys.stdout.flush()
    skipped = getattr(report, "skipped", ())
    tell_skipped(skipped)
    if isinstance(report, EvalReport) and report.metrics["map@r"] is None:
        print("dmlcli: no query has an image of its product to find, so there is no score", file=sys.stderr)
        return NO
    return PARTLY if skipped else DONE


def tell_skipped(skipped: Sequence[Skipped]) -> None:
    """List skipped inputs on stderr, those with the same reason together."""
    groups = defaultdict(list)
    for failure in skipped:
        groups[failure.reason].append(failure.path)
    for reason, paths in groups.items():
        print(f"dmlcli: skipped {len(paths)}: {reason}", file=sys.stderr)
        for path in paths[:_LISTED]:
            print(f"  {path}", file=sys.stderr)
        if len(paths) > _LISTED:
            print(f"  … and {len(paths) - _LISTED} more (--format json lists all)", file=sys.stderr)


def error_text(message: str, hint: str, code: int, format: str | None) -> str:
    """An error as a person or, with a JSON format, as a script reads it."""
    if format in ("json", "jsonl"):
        return json.dumps({"schema": SCHEMA, "error": message, "hint": hint, "exit_code": code}, ensure_ascii=False)
    return f"dmlcli: error: {message}" + (f"\nhint: {hint}" if hint else "")


def _as_json(report: Any) -> dict[str, Any]:
    return {"schema": SCHEMA} | asdict(report)


# -- query ------------------------------------------------------------------------------------------------------------


def _query(report: QueryReport, format: str, nul: bool) -> int:
    write = _ANSWER_WRITERS[format]
    shown, hits = [], 0
    if format == "csv":
        _line("query,rank,score,product,image")
    for answer in report.answers:
        hits += len(answer.hits)
        if format == "json":
            shown.append(_answer_json(answer))
        else:
            write(answer, "\0" if nul else "\n")
    if format == "json":
        skipped = [asdict(failure) for failure in report.skipped]
        _line(
            json.dumps(
                {"schema": SCHEMA, "index": report.index, "answers": shown, "skipped": skipped}, ensure_ascii=False
            )
        )
    tell_skipped(report.skipped)
    return PARTLY if report.skipped else DONE if hits else NO


def _answer_table(answer: Answer, _: str) -> None:
    from rich.text import Text

    table = _table("", "score", "product", "image", title=Text(answer.query))
    for column in (0, 1):
        table.columns[column].justify = "right"
    for hit in answer.hits:
        style = "bold green" if hit.rank == 1 else ""
        product = Text(hit.product or "-", style=style)
        table.add_row(
            str(hit.rank), Text(f"{hit.score:.3f}", style=style), product, Text(hit.image, style="dim", overflow="fold")
        )
    if not answer.hits:
        table.add_row("", "", Text("nothing close enough", style="dim"), "")
    _console().print(table)


def _rows(answer: Answer) -> Iterable[list[str]]:
    return ([answer.query, str(hit.rank), f"{hit.score:.6f}", hit.product, hit.image] for hit in answer.hits)


def _answer_tsv(answer: Answer, _: str) -> None:
    for row in _rows(answer):
        _line("\t".join(_escaped(cell) for cell in row))


def _answer_csv(answer: Answer, _: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(_rows(answer))
    _line(stream.getvalue(), end="")


def _answer_jsonl(answer: Answer, _: str) -> None:
    _line(json.dumps({"schema": SCHEMA} | _answer_json(answer), ensure_ascii=False))


def _answer_paths(answer: Answer, end: str) -> None:
    for hit in answer.hits:
        _line(hit.image, end=end)


def _answer_json(answer: Answer) -> dict[str, Any]:
    return {"query": answer.query, "hits": [asdict(hit) | {"score": round(hit.score, 6)} for hit in answer.hits]}


def _escaped(cell: str) -> str:
    """A cell that cannot break its line: tab, newline and backslash as \\t, \\n and \\\\."""
    return (
        cell.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        if any(c in cell for c in "\\\t\n")
        else cell
    )


def _line(text: str, end: str = "\n") -> None:
    """Print and flush, so that `| head` and `| jq` see each answer at once."""
    print(text, end=end, flush=True)


_ANSWER_WRITERS: dict[str, Callable[[Answer, str], None]] = {
    "table": _answer_table,
    "tsv": _answer_tsv,
    "csv": _answer_csv,
    "jsonl": _answer_jsonl,
    "json": _answer_jsonl,
    "paths": _answer_paths,
}

# -- the other verbs --------------------------------------------------------------------------------------------------


def _train(report: TrainReport) -> None:
    rows = [
        ("model", f"{report.model}  ({report.fingerprint})"),
        ("catalogue", f"{_count(report.images, 'image')} of {_count(report.products, 'product')}"),
        ("validation", report.validation),
        ("MAP@R", _change(report)),
        ("chosen", report.chosen),
        ("index", report.index or "none (--no-index)"),
        ("time", _seconds(report.seconds)),
    ]
    _facts(rows)
    _hint("dmlcli query img.jpg" if report.index else "dmlcli index CATALOG")


def _change(report: TrainReport) -> str:
    if report.score is None or report.frozen_score is None:
        return "not measured: there was nothing to validate with (dmlcli eval scores any catalogue)"
    gain = 100 * (report.score - report.frozen_score)
    return f"{_percent(report.score)}, frozen backbone {_percent(report.frozen_score)} ({gain:+.1f})"


def _embed(report: EmbedReport) -> None:
    known = report.images - report.computed
    _facts(
        [
            ("embeddings", report.output),
            ("images", f"{report.images}  ({report.computed} computed, {known} known)"),
            ("length", str(report.dim)),
            ("model", report.model),
        ]
    )


def _index(report: IndexReport) -> None:
    _facts(
        [
            ("index", report.output),
            ("images", f"{_count(report.images, 'image')} of {_count(report.products, 'product')}"),
            ("kind", f"{report.kind}, {report.dim} dimensions"),
            ("model", report.model or "none: bare embeddings"),
        ]
    )
    _hint("dmlcli query img.jpg" if report.model else "dmlcli query img.jpg --model MODEL")


def _eval(report: EvalReport) -> None:
    queries = f"{_count(report.queries, 'query', 'queries')} of {_count(report.products, 'product')}"
    table = _table("metric", "score", "95 % interval")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for name, score in report.metrics.items():
        interval = report.interval95[name]
        span = f"{100 * interval[0]:.1f} - {100 * interval[1]:.1f} %" if interval else "-"
        table.add_row(_METRIC_NAMES.get(name, name), _percent(score) if score is not None else "-", span)
    print(f"{report.protocol}: {queries} among {_count(report.gallery, 'image')}")
    _console().print(table)
    if report.without_positive:
        print(
            f"{report.without_positive} queries have no image of their product to find and do not count",
            file=sys.stderr,
        )
    if report.trained_products:
        print(f"the model was trained on {report.trained_products} of these products", file=sys.stderr)
    _cautions([report.caution] if report.caution else [])


def _compare(report: CompareReport) -> None:
    table = _table("loss", "Recall@1", "MAP@R", "95 % interval", "over frozen", "95 % interval", "seconds")
    for column in range(1, 7):
        table.columns[column].justify = "right"
    for one in report.contenders:
        gain = f"{100 * one.gain:+.1f}"
        scores = [_percent(one.recall_at_1), _percent(one.map_at_r), _span(one.interval95)]
        table.add_row(one.name, *scores, gain, _span(one.gain_interval95, "+.1f"), f"{one.seconds:.1f}")
    fitted = f"{_count(report.images, 'image')} of {_count(report.products, 'product')}"
    print(f"fitted on {fitted}; {report.protocol}")
    _console().print(table)
    for one in report.contenders:
        if one.trouble:
            print(f"dmlcli: warning: {one.name}: {one.trouble}", file=sys.stderr)
    _cautions([report.caution] if report.caution else [])
    losses = [one for one in report.contenders if one.name not in ("closed form", "frozen backbone")]
    best = losses[0]
    if best.interval95 is not None:
        rivals = sum(best.interval95[0] <= one.map_at_r for one in losses[1:])
        print(
            f"{rivals} more lie within the interval of {best.name}: among those there is no evidence", file=sys.stderr
        )
    _hint(f"dmlcli train CATALOG --loss {best.name}")


def _span(interval: tuple[float, float] | None, form: str = ".1f") -> str:
    return f"{100 * interval[0]:{form}} … {100 * interval[1]:{form}}" if interval else "-"


_METRIC_NAMES = {
    "map@r": "MAP@R",
    "r_precision": "R-Precision",
    "recall@1": "Recall@1",
    "recall@5": "Recall@5",
    "recall@10": "Recall@10",
}


def _losses(report: LossesReport) -> None:
    if len(report.losses) == 1:
        _loss(report.losses[0])
        return
    table = _table("loss", "family", "batches", "learns", "defaults", "paper")
    for loss in report.losses:
        defaults = ", ".join(f"{s.name} {_setting(s.default)}" for s in loss.settings if s.name != "normalize")
        table.add_row(loss.name, loss.family, loss.sampler, ", ".join(loss.parameters), defaults, _paper(loss.source))
    _console().print(table)
    _hint("dmlcli losses NAME")


def _paper(source: str) -> str:
    """Authors and venue of the first paper that a source names."""
    venue = re.search(r"\b[A-Z]\w+ (?:19|20)\d\d", source)
    return f"{source.partition(',')[0]}, {venue[0]}" if venue else source


def _loss(loss: LossRow) -> None:
    from rich.text import Text

    rows = [
        (loss.name, loss.summary),
        ("use", loss.use),
        ("batches", f"{loss.sampler}; {'can' if loss.takes_references else 'cannot'} be used with --memory"),
        ("learns", ", ".join(f"{name} {shape}" for name, shape in loss.parameters.items()) or "nothing of its own"),
        ("published", loss.published or "-"),
        ("source", loss.source),
    ]
    grid = _table("", "", title=None)
    grid.show_header = False
    for name, text in rows:
        grid.add_row(Text(name, style="bold" if name == loss.name else "dim"), text)
    _console().print(grid)
    print("\n".join(f"    {line}" for line in loss.formula.splitlines()) + "\n")
    settings = _table("setting", "default", "takes", "meaning")
    for setting in loss.settings:
        settings.add_row(setting.name, _setting(setting.default), ", ".join(setting.takes), setting.meaning)
    _console().print(settings)
    _hint(f"dmlcli train CATALOG --loss {loss.name}")


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _status(report: StatusReport) -> None:
    if report.workspace is None:
        print("no workspace here or above")
    else:
        rows = [("workspace", report.workspace)]
        rows += [(name, value) for name, value in (report.model or {"model": "none"}).items()]
        for name, made in (("embeddings", report.embeddings), ("index", report.index)):
            rows.append(
                (name, f"{made['images']} images, {made['dim']} dimensions, of {made['root']}" if made else "none")
            )
        _facts(rows)
    _cautions(report.cautions)
    _hint(report.next)


_TABLES: dict[type, Callable[[Any], None]] = {
    TrainReport: _train,
    EmbedReport: _embed,
    IndexReport: _index,
    EvalReport: _eval,
    CompareReport: _compare,
    LossesReport: _losses,
    StatusReport: _status,
}

# -- how things look --------------------------------------------------------------------------------------------------


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def _table(*headings: str, title: "Text | None" = None) -> "Table":
    from rich import box
    from rich.table import Table

    return Table(
        *headings,
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="dim",
    )


def _facts(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _hint(next_command: str) -> None:
    print(f"next: {next_command}", file=sys.stderr)


def _cautions(cautions: Sequence[str]) -> None:
    for caution in cautions:
        print(f"dmlcli: warning: {caution}", file=sys.stderr)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
