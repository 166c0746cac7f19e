"""Training report."""

from collections.abc import Mapping
from pathlib import Path

from dmlcli.cli import formatting
from dmlcli.report.train import Decision, TrainReport


def show(report: TrainReport) -> None:
    """Show it as text."""
    rows = [
        ("model", f"{report.model}  ({report.fingerprint})"),
        ("catalog", f"{formatting.count(report.images, 'image')} of {formatting.count(report.products, 'product')}"),
        ("validation", report.validation),
        ("MAP@R", _change(report)),
        *((f"  {name} products", _gain(one["chosen"], one["frozen"])) for name, one in report.searches.items()),
        *((f"Product Recall, {name}", _product_recall(one)) for name, one in report.product_recall.items()),
        ("chosen", report.chosen),
        *([("reason", report.reason)] if report.reason else []),
        *([("replaced", _way_back(report.replaced))] if report.replaced else []),
        *([("decision", _decided(report.decision))] if report.decision else []),
        ("index", report.index or ("unchanged" if report.says_no else "none (--no-index)")),
        ("time", formatting.seconds(report.seconds)),
    ]
    formatting.facts(rows)
    if report.says_no:
        formatting.hint(f"dmlcli models use {report.fingerprint} uses the new model all the same")
    else:
        formatting.hint("dmlcli query img.jpg" if report.index else "dmlcli index CATALOG")


def _way_back(replaced: str) -> str:
    return f"{replaced}; to return to that model: dmlcli models use {Path(replaced).name}"


def _decided(decision: Decision) -> str:
    if decision.switched:
        return f"the new model is used: {decision.reason}"
    return f"the current model {decision.current} stays in use: {decision.reason}"


def _change(report: TrainReport) -> str:
    if report.score is None or report.frozen_score is None:
        return "not measured: no photos could be held out (dmlcli eval scores any catalog)"
    return _gain(report.score, report.frozen_score)


def _product_recall(found: Mapping[str, float]) -> str:
    return ", ".join(f"@{name.partition('@')[2]} {formatting.percent(share)}" for name, share in found.items())


def _gain(score: float, frozen: float) -> str:
    return f"{formatting.percent(score)}, frozen backbone {formatting.percent(frozen)} ({100 * (score - frozen):+.1f})"
