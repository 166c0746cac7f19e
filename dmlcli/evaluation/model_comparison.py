"""Two models on the same queries: those that cross-validation held out from both, or given ones."""

from pathlib import Path

from dmlcli import held_out_scores
from dmlcli.catalog import Columns
from dmlcli.embeddings import open_embeddings
from dmlcli.errors import MismatchError
from dmlcli.evaluation import min_scores, protocol
from dmlcli.evaluation.inputs import EvalInput, Inputs, Request, comparison_sides, open_sides, read_input
from dmlcli.evaluation.measure import measure
from dmlcli.model import Model
from dmlcli.report.models_diff import ModelsDiffReport
from dmlcli.workspace import Workspace

GIVEN = "queries"


def compare_held_out(first: Model, second: Model) -> ModelsDiffReport:
    """Compare two models on the photos that cross-validation held out from both.

    Args:
        first, second: the models.

    Raises:
        MismatchError: they were not scored by the same searches.
    """
    scores = held_out_scores.read(first.folder), held_out_scores.read(second.folder)
    queries, products, rows = held_out_scores.compare(*scores)
    if not rows:
        raise MismatchError(
            f"models {first.record.fingerprint} and {second.record.fingerprint}: {held_out_scores.why_not(*scores)}",
            hint="compare them with photos of your own: dmlcli models diff A B --queries CATALOG",
        )
    return ModelsDiffReport(
        first=first.record.fingerprint,
        second=second.record.fingerprint,
        queries=queries,
        products=products,
        basis="photos that cross-validation held out from both models",
        scores=tuple(rows),
    )


def compare_queries(first: Model, second: Model, place: Workspace, queries: Path) -> ModelsDiffReport:
    """Compare two models by searching with given images among those that are indexed.

    Args:
        first, second: the models.
        place: has the embeddings of the indexed catalog.
        queries: a catalog.

    Raises:
        CannotRun: the workspace has no embeddings, or images cannot be read.
    """
    request = Request(
        paths=(),
        queries=queries,
        splits=(None, None),
        everything=False,
        same=None,
        model=first.folder,
        against=None,
        columns=Columns(),
        root=None,
        strict=False,
        place=place,
    )
    indexed = open_embeddings(place.embeddings)
    gallery = EvalInput(indexed.root, indexed.items)
    asked = read_input([queries], request)
    rows = list(range(len(asked.items))), list(range(len(gallery.items)))
    scope = f"{queries} in the indexed catalog"
    chosen = protocol.Protocol(protocol.QUERY_GALLERY, scope, *rows, includes_training=False)
    sides, skipped = open_sides(request, Inputs(asked, gallery, chosen, None))
    selection = min_scores.selection(None)
    found = measure(sides, selection, 0, False)
    other = measure(comparison_sides(request, sides, second.folder), selection, 0, False)
    products = found.results.products
    differences = [
        held_out_scores.score_difference(GIVEN, name, (found.values[name], other.values[name]), products)
        for name in selection.by_query
    ]
    return ModelsDiffReport(
        first=first.record.fingerprint,
        second=second.record.fingerprint,
        queries=len(products),
        products=len(set(products)),
        basis=scope,
        scores=tuple(differences),
        skipped=tuple(skipped),
    )
