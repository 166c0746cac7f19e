"""The report as one self-contained HTML page: what a person wants to see first stands first."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from dmlcli import storage
from dmlcli.catalog import Photo
from dmlcli.evaluation.metric_labels import metric_title
from dmlcli.evaluation.published import among
from dmlcli.pages.base import escape, page, thumbnail
from dmlcli.report.error_analysis import GroupScore, Histogram, Insight, Miss
from dmlcli.report.eval import Against, EvalReport, Reranked
from dmlcli.report.query import Part

_CARDS, _PRODUCTS, _PIXELS = 3, 200, 200
_STYLE = """
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1.1rem; }
.tile b { display: block; font-size: 1.7rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.2; }
.warning { border-left: 4px solid var(--accent); background: var(--card); padding: .6rem 1rem; margin: .6rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem; }
.card h3 { margin: 0 0 .1rem; font-size: 1.15rem; overflow-wrap: anywhere; }
.card .pair { display: flex; gap: .75rem; margin-top: .75rem; align-items: flex-start; }
.card .pair figure { flex: 1; } .card .pair img, .card .pair .none { width: 100%; aspect-ratio: 1; }
.share { color: var(--accent); font-weight: 650; }
figure { margin: 0; } figcaption { font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; margin-top: .25rem; }
img, .none { object-fit: cover; border-radius: 8px; background: var(--line); display: block; }
.miss { display: flex; gap: .6rem; padding: .7rem 0; border-bottom: 1px solid var(--line); overflow-x: auto; }
.miss figure { width: 8.2rem; flex: none; } .miss img, .miss .none { width: 8.2rem; height: 8.2rem; }
.miss .asked { margin-right: 1rem; }
.wrong img, .wrong .none { outline: 3px solid var(--accent); outline-offset: -3px; }
.right img, .right .none { outline: 3px solid var(--good); outline-offset: -3px; }
.small img, .small .none { width: 3.2rem; height: 3.2rem; }
.bar { display: inline-block; height: .6rem; border-radius: 3px; background: var(--accent); vertical-align: middle; }
.track { display: inline-block; width: 8rem; background: var(--line); border-radius: 3px; line-height: 0; }
.own td { font-weight: 650; color: var(--good); } .scroll { max-height: 34rem; overflow: auto; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 12px; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin: 0 .3rem 0 .9rem; }
"""


def write(target: Path, report: EvalReport) -> None:
    """Write the page, whole or not at all."""
    storage.write_text(target, render(report))


def render(report: EvalReport) -> str:
    """The page as text."""
    insight = report.insight
    parts = [_head(report), _warnings(report)]
    if insight is not None:
        parts += [_worst(insight.products), _scores(report)]
        parts += [_misses(insight.misses), _confusions(insight)]
    else:
        parts.append(_scores(report))
    if report.reranked:
        parts.append(_reranked(report.reranked))
    if report.against is not None:
        parts.append(_against(report.against))
    if insight is not None:
        parts += [_histogram(insight.histogram), _thresholds(insight)]
        parts += [
            _groups("Products", "product", insight.products),
            _groups("Categories", "category", insight.categories),
        ]
        parts.append(_shape(insight.shape))
    parts += [_literature(report), _provenance(report)]
    return page("Retrieval evaluation", "\n".join(filter(None, parts)), _STYLE)


def _head(report: EvalReport) -> str:
    label = ' <span class="share">includes training products</span>' if report.includes_training else ""
    tiles = [
        (metric_title(name), _percent(value), _span(report.interval95[name]))
        for name, value in list(report.metrics.items())[:5]
    ]
    tiles += [("queries", f"{report.queries:,}", f"of {report.products:,} products")]
    tiles += [("gallery", f"{report.gallery:,}", "images")]
    shown = "".join(
        f'<div class="tile"><span class="faint">{escape(name)}</span><b>{value}</b>'
        f'<span class="faint">{note}</span></div>'
        for name, value, note in tiles
    )
    excluded = f"; a query may not find {escape(report.excluded)}" if report.excluded else ""
    return f'<p>{escape(report.protocol)}: {escape(report.scope)}{excluded}.{label}</p><div class="tiles">{shown}</div>'


def _warnings(report: EvalReport) -> str:
    notes = [report.caution, *report.warnings] if report.caution else [*report.warnings]
    if report.without_positive:
        counted = "count as 0" if report.missing_as_zero else "do not count"
        notes.append(f"{report.without_positive} queries have no image of their product to find and {counted}.")
    if report.trained_products:
        notes.append(f"The model was trained on {report.trained_products} of these products.")
    return "".join(f'<div class="warning">{escape(text)}</div>' for text in notes)


def _worst(products: Sequence[GroupScore]) -> str:
    worst = [one for one in products[:_CARDS] if one.recall_at_1 < 1]
    if not worst:
        return "<h2>Worst products</h2><p>Every query found its product first.</p>"
    cards = []
    for one in worst:
        pair = ""
        if one.confused_with:
            confused_with = f"confused with {one.confused_with}, {one.times} times"
            pair = (
                f'<div class="pair">{_figure(one.image, one.box, "a photo of it", "right")}'
                f"{_figure(one.taken_for_image, one.taken_for_box, confused_with, 'wrong')}</div>"
            )
        cards.append(
            f'<div class="card"><h3>{escape(one.name)}</h3><span class="share">{_percent(one.recall_at_1)}</span> '
            f'<span class="faint">of {_count(one.queries, "query", "queries")} found it first</span>{pair}</div>'
        )
    return f'<h2>Worst products</h2><div class="cards">{"".join(cards)}</div>'


def _scores(report: EvalReport) -> str:
    rows = [
        [metric_title(name), _percent(value), _span(report.interval95[name])] for name, value in report.metrics.items()
    ]
    note = '<p class="faint">Intervals: 95 %, bootstrap over products. Ties count against the search.</p>'
    return "<h2>Scores</h2>" + _table(["metric", "score", "95 % interval"], rows) + note


def _misses(misses: Sequence[Miss]) -> str:
    if not misses:
        return ""
    rows = []
    for miss in misses:
        asked = _figure(miss.query, miss.box, f"{miss.product}, right one at rank {miss.rank:,}", "asked")
        hits = "".join(
            _figure(hit.image, hit.box, f"{hit.score:.3f} {hit.product}", _verdict(hit.product == miss.product))
            for hit in miss.hits
        )
        rows.append(f'<div class="miss">{asked}{hits}</div>')
    return (
        '<h2>Worst queries</h2><p class="faint">Queries with their first hits; the most confident errors, at most '
        f"three of one product.</p>{''.join(rows)}"
    )


def _confusions(insight: Insight) -> str:
    if not insight.confusions:
        return ""
    rows = "".join(
        f'<tr class="small"><td>{_image(one.image, one.box)}</td><td>{escape(one.product)}</td>'
        f"<td>{_image(one.taken_for_image, one.taken_for_box)}</td>"
        f'<td>{escape(one.confused_with)}</td><td class="number">{one.times} of {one.queries}</td></tr>'
        for one in insight.confusions
    )
    return (
        "<h2>Most confused pairs</h2><table><tr><th></th><th>product</th><th></th><th>confused with</th>"
        f"<th>queries</th></tr>{rows}</table>"
    )


def _against(against: Against) -> str:
    rows = [[metric_title(name), _percent(against.metrics[name]), *_gap(against, name)] for name in against.difference]
    headings = ["metric", "other", "difference", "95 % interval, paired", ""]
    return f"<h2>Against {escape(against.name)}</h2>" + _table(headings, rows)


def _reranked(ways: Sequence[Reranked]) -> str:
    rows = [
        [one.name, metric_title(name), _percent(score), *_gap(one, name), f"{one.milliseconds:.1f}"]
        for one in ways
        for name, score in one.metrics.items()
    ]
    headings = ["", "metric", "re-ranked", "difference", "95 % interval, paired", "", "ms a query"]
    note = '<p class="faint">The first hits of each query in a new order, against the plain ranking.</p>'
    return "<h2>Re-ranking</h2>" + note + _table(headings, rows)


def _gap(other: Against | Reranked, name: str) -> list[str]:
    """Difference, its interval, and the verdict."""
    gap = other.difference[name]
    verdict = ("better" if gap > 0 else "worse") if gap is not None and other.significant[name] else "not significant"
    return [f"{100 * gap:+.1f}" if gap is not None else "-", _span(other.interval95[name], "+.1f"), verdict]


def _histogram(histogram: Histogram | None) -> str:
    """Two outlines over one axis: similarity of the closest right and of the closest wrong image."""
    if histogram is None:
        return ""
    width, height, foot = 760, 200, 24
    bins = len(histogram.right)
    highest = max(1, *histogram.right, *histogram.wrong)
    shapes = []
    for counts, color in ((histogram.wrong, "--accent"), (histogram.right, "--good")):
        points = [f"0,{height}"]
        for place, count in enumerate(counts):
            top = height - height * count / highest
            points += [f"{place * width / bins:.1f},{top:.1f}", f"{(place + 1) * width / bins:.1f},{top:.1f}"]
        points.append(f"{width},{height}")
        shapes.append(f'<polygon points="{" ".join(points)}" style="fill: var({color}); opacity: .5"/>')
    ticks = "".join(
        f'<text x="{place * width / 4:.0f}" y="{height + 16}" text-anchor="{anchor}">'
        f"{histogram.low + place * (histogram.high - histogram.low) / 4:.2f}</text>"
        for place, anchor in zip(range(5), ("start", "middle", "middle", "middle", "end"), strict=True)
    )
    return (
        '<h2>Similarity of the closest image</h2><p class="faint"><span class="key" style="background: var(--good)">'
        '</span>right product<span class="key" style="background: var(--accent)"></span>wrong product</p>'
        f'<svg viewBox="0 0 {width} {height + foot}" width="{width}" role="img" '
        'aria-label="histogram of the similarity of the closest right and of the closest wrong image">'
        f"{''.join(shapes)}{ticks}</svg>"
    )


def _thresholds(insight: Insight) -> str:
    if not insight.thresholds:
        return ""
    rows = [
        [f"{one.score:.4f}", _percent(one.false_accepts), _percent(one.answered), _percent(one.right)]
        for one in insight.thresholds
    ]
    headings = ["--min-score", "false accept rate", "true accept rate", "correct at rank 1"]
    note = "For false accepts each query is searched without the images of its product."
    return f'<h2>Is it in the catalog at all?</h2><p class="faint">{note}</p>' + _table(headings, rows)


def _groups(title: str, name: str, groups: Sequence[GroupScore]) -> str:
    if not groups:
        return ""
    rows = "".join(
        f'<tr><td>{escape(one.name)}</td><td class="number">{one.queries}</td><td class="number">'
        f'{_percent(one.recall_at_1)}</td><td><span class="track"><span class="bar" style="width: '
        f'{8 * one.recall_at_1:.2f}rem"></span></span></td><td class="number">{_percent(one.map_at_r)}</td>'
        f"<td>{escape(f'{one.confused_with} ({one.times})') if one.confused_with else ''}</td></tr>"
        for one in groups[:_PRODUCTS]
    )
    more = (
        f'<p class="faint">… and {len(groups) - _PRODUCTS:,} more, all better.</p>' if len(groups) > _PRODUCTS else ""
    )
    return (
        f'<h2>{title}</h2><div class="scroll"><table><tr><th>{name}</th><th>queries</th><th>Recall@1</th><th></th>'
        f"<th>MAP@R</th><th>most often confused with</th></tr>{rows}</table></div>{more}"
    )


def _shape(shape: dict[str, float | int | None]) -> str:
    if not shape:
        return ""
    meanings = {
        "spectral_decay": "spectral decay (0: all directions used alike)",
        "directions50": "directions that hold 50 % of the variance",
        "directions90": "… 90 %",
        "directions99": "… 99 %",
        "intra": "mean distance within a product",
        "inter": "mean distance between products",
        "intra_inter": "their ratio (lower is better)",
    }
    rows = [[meanings[name], "-" if value is None else f"{value:.4g}"] for name, value in shape.items()]
    return "<h2>The embeddings</h2>" + _table(["", ""], rows)


def _literature(report: EvalReport) -> str:
    if not report.published:
        return ""
    ks = list(dict.fromkeys(name for row in report.published for name in row.recall))
    rows = []
    for row, own in among(report):
        scores = [f"{100 * value:.1f}" if (value := row.recall.get(name)) is not None else "-" for name in ks]
        facts = ["", row.network, ""] if own else [str(row.year), row.network, str(row.dim or "-")]
        cells = "".join(f'<td class="number">{cell}</td>' for cell in scores)
        texts = "".join(f"<td>{escape(cell)}</td>" for cell in (row.method, *facts))
        own_class = ' class="own"' if own else ""
        rows.append(f"<tr{own_class}>{texts}{cells}<td>{escape(row.source)}</td><td>{row.mark}</td></tr>")
    heads = "".join(
        f"<th>{escape(head)}</th>"
        for head in ("method", "year", "network", "dim", *map(metric_title, ks), "source", "")
    )
    note = "V: read in the source; M: from memory of the paper. Most papers chose their epoch on the test set."
    return f'<h2>Published results</h2><p class="faint">{note}</p><table><tr>{heads}</tr>{"".join(rows)}</table>'


def _provenance(report: EvalReport) -> str:
    rows = [["seed", str(report.seed)], ["model", report.model or "not known"]]
    rows += [[f"fingerprint of {name}", value] for name, value in report.fingerprints.items()]
    rows += [list(pair) for pair in report.versions.items()]
    rows += [["inputs left out", str(len(report.skipped))]]
    return "<h2>Provenance</h2>" + _table(["", ""], rows)


def _table(headings: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=number' if place else ''}>{escape(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _figure(image: str, box: Part, caption: str, kind: str) -> str:
    return f'<figure class="{kind}">{_image(image, box)}<figcaption>{escape(caption)}</figcaption></figure>'


def _verdict(is_right: bool) -> str:
    return "right" if is_right else "wrong"


def _image(path: str, box: Part) -> str:
    source = _thumbnail(path, box)
    return f'<img src="{source}" alt="{escape(Path(path).name)}">' if source else '<div class="none"></div>'


@cache
def _thumbnail(path: str, box: Part) -> str | None:
    return thumbnail(Photo(Path(path), box), _PIXELS) if path else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _span(interval: tuple[float, float] | None, form: str = ".1f") -> str:
    return f"{100 * interval[0]:{form}} … {100 * interval[1]:{form}}" if interval else "-"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
