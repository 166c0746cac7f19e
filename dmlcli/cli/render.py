"""Output of reports on stdout: a view for each command, or JSON.

A report's module and its view have the same name: `report/train.py`, `views/train.py`. No other view is loaded.
"""

import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.errors import CannotRun


def show(report: Any, format: str | None, nul: bool = False, pictures: bool = False, output: Path | None = None) -> int:
    """Print a report to stdout, its hints and skipped inputs to stderr; return the exit code.

    Args:
        report: what the command returned.
        format: the value of --format, None for the usual one.
        nul: end paths with NUL instead of a newline.
        pictures: draw the pictures of a query in the terminal too.
        output: write the answers of a query to this file instead of stdout.

    Raises:
        CannotRun: stdout is closed.
    """
    if sys.stdout is None:
        raise CannotRun("standard output is closed, so the result cannot be printed", hint="> /dev/null discards it")
    module = type(report).__module__.rpartition(".")[2]
    view = import_module(f"dmlcli.cli.views.{module}")
    code: int
    if module == "query":
        code = view.show(report, format, nul, pictures, output)
    elif module == "doctor":
        code = view.show(report, format or "table")
    elif module == "duplicates":
        code = view.show(report, format or ("table" if sys.stdout.isatty() else "tsv"), nul)
    else:
        if format == "json":
            formatting.row(printable.dumps({"schema": formatting.SCHEMA} | asdict(report)))
        elif format in getattr(view, "TABLES", ()):
            view.print_table(report, format)
        else:
            view.show(report)
        sys.stdout.flush()
        failures = getattr(report, "skipped", ())
        formatting.skipped(failures)
        code = formatting.exit_code(failures, says_no=getattr(report, "says_no", False))
    return code


def error_text(message: str, hint: str, code: int, format: str | None) -> str:
    """Return an error as text or, for a JSON format, as a JSON object.

    Args:
        message: the problem.
        hint: the next step; may be empty.
        code: the exit code.
        format: as `--format`.
    """
    if format in ("json", "jsonl"):
        from dmlcli.report.error import ErrorReport

        return printable.dumps({"schema": formatting.SCHEMA} | asdict(ErrorReport(message, hint, code)))
    return f"dmlcli: error: {printable.text(message)}" + (f"\nhint: {printable.text(hint)}" if hint else "")
