"""The model that is now current, and the index."""

from dmlcli.cli import formatting
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
        ("index", _rebuilt(report) if report.index == "rebuilt" else _INDEX[report.index]),
        ("time", f"{report.seconds:.1f} s"),
    ]
    formatting.facts(rows)
    is_searchable = report.index in ("rebuilt", "unchanged")
    formatting.hint("dmlcli query img.jpg" if is_searchable else "dmlcli index CATALOG")


def _way_back(replaced: str) -> str:
    return f"{replaced}; to return to it: dmlcli models use {replaced}"


def _rebuilt(report: ModelsUseReport) -> str:
    kept = report.images - report.embedded
    return f"rebuilt: {formatting.count(report.images, 'image')}, {kept} with kept vectors, {report.embedded} embedded"
