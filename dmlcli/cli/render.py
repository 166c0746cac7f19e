"""From a report to what is shown: one view a verb for people, JSON for scripts. The only way out to stdout."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from dmlcli.cli import look
from dmlcli.cli.views import compare, doctor, duplicates, embed, eval, index, losses, plan, query, status, train
from dmlcli.report.compare import CompareReport
from dmlcli.report.doctor import DoctorReport
from dmlcli.report.duplicates import DuplicatesReport
from dmlcli.report.embed import EmbedReport
from dmlcli.report.eval import EvalPlan, EvalReport
from dmlcli.report.index import IndexReport
from dmlcli.report.losses import LossesReport
from dmlcli.report.plan import PlanReport
from dmlcli.report.query import QueryReport
from dmlcli.report.status import StatusReport
from dmlcli.report.train import TrainReport

_VIEWS: dict[type, Callable[[Any], None]] = {
    TrainReport: train.show,
    PlanReport: plan.show,
    EmbedReport: embed.show,
    IndexReport: index.show,
    EvalReport: eval.show,
    EvalPlan: eval.plan,
    CompareReport: compare.show,
    LossesReport: losses.show,
    StatusReport: status.show,
}


def show(report: Any, format: str | None, nul: bool = False, pictures: bool = False) -> int:
    """Print a report to stdout, its hints and skipped inputs to stderr; return the exit code."""
    if isinstance(report, QueryReport):
        return query.show(report, format, nul, pictures)
    if isinstance(report, DoctorReport):
        return doctor.show(report, format or "table")
    if isinstance(report, DuplicatesReport):
        return duplicates.show(report, format or ("table" if sys.stdout.isatty() else "tsv"), nul)
    if format == "json":
        print(json.dumps({"schema": look.SCHEMA} | asdict(report), ensure_ascii=False))
    elif isinstance(report, EvalReport) and format in eval.TABLES:
        eval.print_table(report, format)
    else:
        _VIEWS[type(report)](report)
    sys.stdout.flush()
    failures = getattr(report, "skipped", ())
    look.skipped(failures)
    return look.exit_code(failures, says_no=getattr(report, "says_no", False))


def error_text(message: str, hint: str, code: int, format: str | None) -> str:
    """An error as a person or, with a JSON format, as a script reads it."""
    if format in ("json", "jsonl"):
        return json.dumps(
            {"schema": look.SCHEMA, "error": message, "hint": hint, "exit_code": code}, ensure_ascii=False
        )
    return f"dmlcli: error: {message}" + (f"\nhint: {hint}" if hint else "")
