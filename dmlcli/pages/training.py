"""A training run as one HTML page: what it gained, its curves, a map of the products, and which are confused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dmlcli import storage
from dmlcli.catalog import Catalog, Item
from dmlcli.embeddings import Embeddings, Vectors
from dmlcli.errors import ImageError
from dmlcli.pages.base import escape, page, thumbnail
from dmlcli.report.train import TrainReport

_WIDE, _HIGH = 600, 190  # of a curve's picture
_SIDE, _EDGE = 84, 40  # its margins: beside, where numbers and names stand, and above and below
_LINE = 14  # from one line of text to the next
_MOST_PRODUCTS = 160  # on the map: more thumbnails would hide each other
_MOST_PAIRS, _MOST_IMAGES = 8, 4000
_MAP, _SMALL, _PIXELS = 900, 44, 160
_DEPTHS = {"head": "the head", "top": "the last stage", "all": "the whole network"}
_COLORS = ("var(--accent)", "var(--good)", "#2563eb", "#9333ea")
_STYLE = """
.tiles, .pairs { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1.1rem; }
.tile b { display: block; font-size: 1.7rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.2; }
.pair { display: flex; gap: .5rem; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: .75rem; }
.pair figure { width: 9rem; margin: 0; } .pair p { width: 7rem; margin: 0; }
.pair img { width: 9rem; height: 9rem; object-fit: cover; border-radius: 8px; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; }
.curves figure { margin: 0; }
.curves { display: flex; flex-wrap: wrap; gap: 1.5rem; } svg { max-width: 100%; height: auto; }
svg text { fill: var(--faint); font-size: 12px; } .map { background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; } .map image:hover { outline: 3px solid var(--accent); }
"""


def write(
    target: Path,
    report: TrainReport,
    rows: Sequence[Mapping[str, Any]],
    photos: Catalog,
    embeddings: Embeddings | None,
) -> None:
    """Write the page, whole or not at all.

    Args:
        rows: of metrics.jsonl.
        embeddings: of the catalog by the final model; without them there is neither map nor confusions.
    """
    parts = [_tiles(report), _curves(rows)]
    if embeddings is not None and len(embeddings.items) > 2:
        parts += [_map(photos, embeddings), _confusions(photos, embeddings)]
    else:
        parts.append('<p class="faint">The catalog was not embedded (--no-index): no map, no confusions.</p>')
    storage.write_text(target, page("Training report", "\n".join(parts), _STYLE))


def _tiles(report: TrainReport) -> str:
    gain = None if report.score is None or report.frozen_score is None else report.score - report.frozen_score
    tiles = [
        ("MAP@R in validation", _percent(report.score), report.validation),
        ("frozen backbone", _percent(report.frozen_score), "the same photos, untrained"),
        ("gain", "-" if gain is None else f"{100 * gain:+.1f}", "points of MAP@R"),
        ("products", f"{report.products:,}", f"{report.images:,} photos"),
    ]
    shown = "".join(
        f'<div class="tile"><span class="faint">{escape(name)}</span><b>{value}</b>'
        f'<span class="faint">{escape(note)}</span></div>'
        for name, value, note in tiles
    )
    facts = f"{report.chosen} chosen · run {report.run} · model {report.fingerprint} · {report.seconds:.0f} s"
    return f'<div class="tiles">{shown}</div><p class="faint">{escape(facts)}</p>'


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _curves(rows: Sequence[Mapping[str, Any]]) -> str:
    epochs = [row for row in rows if row.get("epoch")]
    if not epochs:
        return '<p class="faint">No gradient step was taken: the LDA head alone was solved.</p>'
    level = next((100 * row["map@r"] for row in rows if not row.get("epoch") and row.get("map@r") is not None), None)
    depths = list(dict.fromkeys(row.get("stage", "") for row in epochs))
    parts = []
    for depth in depths:
        drawn = _curves_of([row for row in epochs if row.get("stage", "") == depth], level)
        title = f"Curves: {_DEPTHS[depth]}" if len(depths) > 1 and depth in _DEPTHS else "Curves"
        parts.append(f'<h2>{title}</h2><div class="curves">{"".join(drawn)}</div>')
    return "".join(parts)


def _curves_of(epochs: Sequence[Mapping[str, Any]], level: float | None) -> list[str]:
    """The pictures of the epochs at one depth."""
    at = [row["epoch"] for row in epochs]
    scores = {
        name: [100 * row[name] for row in epochs]
        for name in ("known", "new", "map@r")
        if all(row.get(name) is not None for row in epochs)
    }
    losses = [row["loss"] for row in epochs if row.get("loss") is not None]
    drawn = [_curve("Loss", at, {"loss": losses})] if len(losses) == len(at) else []
    if scores:
        drawn.append(_curve("MAP@R in validation, percent", at, scores, level))
    drawn.append(_curve("Learning rate of the head", at, {"rate": [row["learning_rate"] for row in epochs]}))
    active = {"active": [100 * row["active"] for row in epochs]}
    drawn.append(_curve("Images with a gradient, percent", at, active, ends=(0.0, 100.0)))
    return drawn


def _curve(
    title: str,
    at: Sequence[int],
    lines: Mapping[str, Sequence[float]],
    level: float | None = None,
    ends: tuple[float, float] | None = None,
) -> str:
    """One picture: lines over epochs, and a dashed level (the LDA head) where there is one.

    Args:
        ends: of the axis; None: as low and high as the lines are.
    """
    values = [value for line in lines.values() for value in line] + ([] if level is None else [level])
    low, high = ends or (min(values), max(values))
    low, high = (low - 0.5, high + 0.5) if high - low < 1e-12 else (low, high)

    def place(epoch: float, value: float) -> str:
        x = _SIDE + (_WIDE - 2 * _SIDE) * (epoch - at[0]) / max(1, at[-1] - at[0])
        return f"{x:.1f},{_HIGH - _EDGE - (_HIGH - 2 * _EDGE) * (value - low) / (high - low):.1f}"

    drawn: list[str] = []
    tips: list[tuple[float, float, str]] = []
    for color, (name, line) in zip(_COLORS, lines.items(), strict=False):
        points = " ".join(place(*point) for point in zip(at, line, strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        x, y = place(at[-1], line[-1]).split(",")
        drawn.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>')
        tips.append((float(y), float(x), "together" if name == "map@r" else name))
    below = 0.0  # names stand below each other, however near their lines end
    for y_end, x_end, name in sorted(tips) if len(tips) > 1 else ():
        below = max(y_end + 4, below + _LINE)
        drawn.append(f'<text x="{x_end + 8:.0f}" y="{below:.0f}">{escape(name)}</text>')
    if level is not None:
        left, right = place(at[0], level), place(at[-1], level)
        drawn.append(f'<polyline points="{left} {right}" stroke="var(--faint)" stroke-dasharray="5 4" fill="none"/>')
        x, y = left.split(",")
        drawn.append(f'<text x="{x}" y="{float(y) - 5:.0f}">LDA head</text>')
    bottom = _HIGH - _EDGE
    axis = (
        f'<text x="{_SIDE}" y="{bottom + 18}">epoch {at[0]}</text>'
        f'<text x="{_WIDE - _SIDE}" y="{bottom + 18}" text-anchor="end">{at[-1]}</text>'
        f'<text x="{_SIDE - 8}" y="{bottom}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{_SIDE - 8}" y="{_EDGE + 4}" text-anchor="end">{high:.3g}</text>'
        f'<line x1="{_SIDE}" y1="{bottom}" x2="{_WIDE - _SIDE}" y2="{bottom}" stroke="var(--line)"/>'
    )
    name = escape(title)
    return (
        f'<figure><figcaption>{name}</figcaption><svg viewBox="0 0 {_WIDE} {_HIGH}" width="{_WIDE}" role="img" '
        f'aria-label="{name}">{axis}{"".join(drawn)}</svg></figure>'
    )


def _map(photos: Catalog, embeddings: Embeddings) -> str:
    """The products in the plane in which they differ most: principal components of their mean embeddings."""
    products = sorted(Counter(embeddings.products).items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_PRODUCTS]
    names = [name for name, _ in products if name]
    rows = [[row for row, product in enumerate(embeddings.products) if product == name] for name in names]
    means = np.stack([np.asarray(embeddings.vectors[own]).mean(0) for own in rows])
    centerd = means - means.mean(0)
    _, _, axes = np.linalg.svd(centerd, full_matrices=False)
    flat = centerd @ axes[:2].T  # (C, 2)
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    spread = np.ptp(flat, axis=0)
    flat = (flat - flat.min(0)) / np.where(spread > 0, spread, 1)
    drawn = []
    for name, own, mean, (x, y) in zip(names, rows, means, flat, strict=True):
        typical = own[int(np.argmax(np.asarray(embeddings.vectors[own]) @ mean))]
        picture = _picture(photos, embeddings.items[typical], _SMALL * 2)
        if picture:
            left, top = (20 + (_MAP - 40 - _SMALL) * place for place in (x, 0.7 * y))
            drawn.append(
                f'<image href="{picture}" x="{left:.0f}" y="{top:.0f}" width="{_SMALL}" height="{_SMALL}" '
                f'preserveAspectRatio="xMidYMid slice"><title>{escape(name)}: {len(own)} photos</title></image>'
            )
    more = len(set(embeddings.products)) - len(names)
    shown = f", the {len(names)} largest products" if more > 0 else ""
    return (
        f'<h2>Map of the products</h2><p class="faint">Alike is near: the plane in which the means of their embeddings '
        f"differ most{shown}. Point at a picture for its name.</p>"
        f'<svg class="map" viewBox="0 0 {_MAP} {int(0.7 * _MAP) + 20}" width="{_MAP}">{"".join(drawn)}</svg>'
    )


def _confusions(photos: Catalog, embeddings: Embeddings) -> str:
    """The pairs of products whose photos are confused with each other most often."""
    step = max(1, len(embeddings.items) // _MOST_IMAGES)
    rows = [row for row in range(0, len(embeddings.items), step) if embeddings.products[row]]
    vectors = np.asarray(embeddings.vectors[rows])
    nearest = _nearest(vectors)
    found: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], tuple[int, int]] = {}
    for place, other in enumerate(nearest):
        row, hit = rows[place], rows[other]
        asked, taken = embeddings.products[row], embeddings.products[hit]
        if asked != taken:
            pair = (min(asked, taken), max(asked, taken))
            found[pair] += 1
            example.setdefault(pair, (row, hit))
    note = (
        "Each photo searched among all others by the final model. It was trained on these photos, "
        "so new ones are confused more often (dmlcli eval --html tells)."
    )
    head = f'<h2>Worst confusions</h2><p class="faint">{note}</p>'
    if not found:
        return f"{head}<p>None: the nearest other photo is always one of the same product.</p>"
    cards = []
    for pair, times in found.most_common(_MOST_PAIRS):
        figures = "".join(
            f'<figure><img src="{_picture(photos, item, _PIXELS) or ""}" alt=""><figcaption>{escape(item.product)}'
            "</figcaption></figure>"
            for item in (embeddings.items[row] for row in example[pair])
        )
        cards.append(f'<div class="pair">{figures}<p><b>{times}</b> confused with each other</p></div>')
    return f'{head}<div class="pairs">{"".join(cards)}</div>'


def _nearest(vectors: Vectors) -> list[int]:
    """The nearest other row of each."""
    found: list[int] = []
    for start in range(0, len(vectors), 512):
        scores = vectors[start : start + 512] @ vectors.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        found += scores.argmax(1).tolist()
    return found


def _picture(photos: Catalog, item: Item, pixels: int) -> str | None:
    try:
        return thumbnail(photos.photo(item).read_bytes(), pixels)
    except ImageError:
        return None
