"""The model that is now current, and the index."""

from dmlcli.cli import formatting
from dmlcli.report.models_diff import ScoreDifference
from dmlcli.report.models_use import ModelsUseReport

_INDEX = {
    "unchanged": "made by this model already",
    "other model": "not made from the embeddings in this workspace; it goes on using the model that made it",
    "none": "none",
}


def show(report: ModelsUseReport) -> None:
    """Show it as text."""
    rows = [
        ("model", f"{report.model}  ({report.fingerprint})"),
        *([("replaced", _way_back(report.replaced))] if report.replaced else []),
        *(("MAP@R", _compared(row)) for row in report.scores if row.metric == "map@r"),
        ("index", _rebuilt(report) if report.index == "rebuilt" else _INDEX[report.index]),
        ("time", f"{report.seconds:.1f} s"),
    ]
    formatting.facts(rows)
    is_searchable = report.index in ("rebuilt", "unchanged")
    formatting.hint("dmlcli query img.jpg" if is_searchable else "dmlcli index CATALOG")


def _way_back(replaced: str) -> str:
    return f"{replaced}; to return to it: dmlcli models use {replaced}"


def _compared(row: ScoreDifference) -> str:
    gap = "-" if row.difference is None else f"{100 * row.difference:+.1f}"
    scores = f"{formatting.percent(row.first)}, the replaced model {formatting.percent(row.second)}"
    return f"{row.search}: {scores} ({gap}, 95 % interval {formatting.span(row.interval95, '+.1f')})"


def _rebuilt(report: ModelsUseReport) -> str:
    kept = report.images - report.embedded - report.from_features
    images = formatting.count(report.images, "image")
    made = f"{report.from_features} with vectors from cached features, " if report.from_features else ""
    return f"rebuilt: {images}, {kept} with kept vectors, {made}{report.embedded} embedded"
