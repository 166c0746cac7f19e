"""What training made."""

from dmlcli.cli import look
from dmlcli.report import TrainReport


def show(report: TrainReport) -> None:
    """Show it as text."""
    rows = [
        ("model", f"{report.model}  ({report.fingerprint})"),
        ("catalogue", f"{look.count(report.images, 'image')} of {look.count(report.products, 'product')}"),
        ("validation", report.validation),
        ("MAP@R", _change(report)),
        ("chosen", report.chosen),
        ("index", report.index or "none (--no-index)"),
        ("time", look.seconds(report.seconds)),
    ]
    look.facts(rows)
    look.hint("dmlcli query img.jpg" if report.index else "dmlcli index CATALOG")


def _change(report: TrainReport) -> str:
    if report.score is None or report.frozen_score is None:
        return "not measured: there was nothing to validate with (dmlcli eval scores any catalogue)"
    gain = 100 * (report.score - report.frozen_score)
    return f"{look.percent(report.score)}, frozen backbone {look.percent(report.frozen_score)} ({gain:+.1f})"
