"""dmlcli eval: measure the search, with intervals, error analysis and comparisons."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options
from dmlcli.arguments import names
from dmlcli.errors import UsageError

if TYPE_CHECKING:
    from dmlcli.evaluation.inputs import Inputs, Request
    from dmlcli.report.eval import EvalReport
    from dmlcli.report.eval_plan import EvalPlan
    from dmlcli.search.rerank import Rerank


def eval(
    catalog: options.CatalogsOrEmbeddings = None,
    *,
    queries: options.Queries = None,
    query_split: options.QuerySplit = None,
    gallery_split: options.GallerySplit = None,
    all: options.Everything = False,
    exclude_same: options.ExcludeSame = None,
    metrics: options.Metrics = None,
    count_missing_as_zero: options.CountMissingAsZero = False,
    against: options.AgainstPath = None,
    rerank: options.Reranks = None,
    published: options.PublishedOn = None,
    ranked: options.Ranked = None,
    fail_under: options.FailUnder = None,
    html: options.ReportPage = None,
    dry_run: options.EvalDryRun = False,
    model: options.ModelPath = None,
    device: options.Device = "auto",
    provider: options.Provider = None,
    seed: options.Seed = 0,
    workspace: options.WorkspacePath = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    box_column: options.BoxColumn = None,
    root: options.Root = None,
    merge_products: options.MergeProducts = False,
    strict: options.Strict = False,
) -> "EvalReport | EvalPlan":
    """Score the search: Recall@K, MAP@R and R-Precision with 95 % intervals over products.

    With queries of their own (--queries, or two splits, named or found) the protocol is query/gallery, else every
    image is searched among all others (leave-one-out), but those of products that the model was trained on. Without
    a catalog, the workspace's embeddings are scored. Several catalogs are scored together and one by one; where they
    share products, so is every search from one in another.

    Examples:

        dmlcli eval ./catalog --queries ./phone-photos --html report.html

        dmlcli eval photos.csv --query-split test --gallery-split train --against other-model

        dmlcli eval ./studio ./phone --merge-products

        dmlcli eval ./catalog --queries ./phone-photos --rerank all

        dmlcli eval ./catalog --ranked lists.tsv --fail-under recall@1=0.8
    """
    from dmlcli import storage
    from dmlcli.catalog import Columns
    from dmlcli.evaluation import min_scores, report_builder
    from dmlcli.evaluation.by_catalog import by_catalog
    from dmlcli.evaluation.inputs import Request, answer_model, choose, open_sides
    from dmlcli.evaluation.measure import measure
    from dmlcli.evaluation.ranked_lists import open_lists
    from dmlcli.product_score import RECALL_AT
    from dmlcli.workspace import find, need

    _check((query_split, gallery_split), queries, ranked, against or model or rerank or dry_run)
    listed = names(catalog, "catalog")
    if ranked is not None and len(listed) > 1:
        raise UsageError("--ranked works with one catalog", hint="evaluate the catalogs one by one")
    request = Request(
        paths=list(map(Path, listed)),
        queries=Path(queries) if queries else None,
        splits=(query_split, gallery_split),
        everything=all,
        same=exclude_same,
        model=Path(model) if model else None,
        against=Path(against) if against else None,
        columns=Columns(image_column, product_column, category_column, split_column, source_column, box_column),
        root=root,
        strict=strict,
        merge_products=merge_products,
        place=need(workspace) if workspace else find(),
        bare=ranked is not None,
        on=(device, provider),
    )
    lowest = min_scores.parse_min_scores(names(fail_under, "fail_under"))
    named = None if metrics is None else ",".join(names(metrics, "metrics"))
    min_scores.selection(named)  # a misspelled metric is an error before the work starts
    ways = _ways(names(rerank, "rerank"))
    if html is not None:
        storage.check_writable(Path(html), new_folders=False)

    chosen = choose(request)
    if dry_run:
        return _plan(request, chosen, ways)
    sides, skipped = open_sides(request, chosen)
    selection = min_scores.selection(
        named,
        report_builder.recall(published, chosen.gallery_input.official),
        also=lowest,
        product_recall=() if ranked else RECALL_AT,
    )
    lists = open_lists(Path(ranked)) if ranked else None
    found = measure(sides, selection, seed, count_missing_as_zero, lists, ways, answer_model(sides, request))

    report = report_builder.report(request, sides, found, seed, skipped, count_missing_as_zero)
    if sides.gallery_catalogs:
        report = replace(report, by_catalog=tuple(by_catalog(sides, found, seed, count_missing_as_zero)))
    if ways:
        report = report_builder.reranked(report, sides, found, selection)
    if request.against is not None:
        report = report_builder.against(report, request, sides, found, selection, request.against)
    if published is not None:
        report = report_builder.beside_published(report, published)
    report = replace(report, failed=min_scores.failed(lowest, report.metrics))
    if html is not None:
        from dmlcli.pages.evaluation import write

        report = replace(report, page=str(html))
        write(Path(html), report, ", ".join(path.absolute().name for path in request.paths))
    return report


def _check(splits: tuple[str | None, str | None], queries: Path | None, ranked: Path | None, excluded: object) -> None:
    """Raise UsageError for options that exclude each other or need one another."""
    if splits.count(None) == 1 and queries is None:
        raise UsageError(
            "--query-split and --gallery-split must be used together", hint="or use a catalog with --queries"
        )
    if ranked is not None and excluded:
        raise UsageError(
            "--ranked cannot be combined with --against, --model, --rerank or --dry-run", hint="remove the other option"
        )


def _ways(asked: list[str]) -> "list[Rerank]":
    from dmlcli.search.rerank import parse_all

    return parse_all(asked) if asked else []


def _plan(request: "Request", chosen: "Inputs", ways: "list[Rerank]") -> "EvalPlan":
    from dmlcli.evaluation.inputs import dimensions, unknown_images
    from dmlcli.evaluation.measure import plan
    from dmlcli.report.eval_plan import EvalPlan

    rows, places = len(chosen.protocol.queries), len(chosen.protocol.gallery)
    dim = dimensions(request, chosen)
    peak, seconds = plan(rows, places, dim, ways, apart=chosen.protocol.name != "leave-one-out")
    return EvalPlan(
        protocol=chosen.protocol.name,
        scope=chosen.protocol.scope,
        queries=rows,
        gallery=places,
        dim=dim,
        to_embed=unknown_images(request, chosen),
        peak_bytes=peak,
        seconds=seconds,
        skipped=(*chosen.gallery_input.skipped,),
    )
