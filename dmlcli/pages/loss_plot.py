"""The plot of a loss (`losses NAME --plot`): an SVG with its value and its slope over the cosine of a pair."""

from collections.abc import Mapping, Sequence
from html import escape

from dmlcli.pages.line_chart import HEIGHT, WIDTH, Chart, line_chart

_TITLE = 26  # height of the title of a chart
_COLORS = {"accent": "#c2410c", "good": "#15803d"}  # those of base.css on paper
_INK, _FAINT, _LINE, _PAPER = "#1d1d1f", "#6e6e73", "#e2e2dd", "#fafaf8"


def loss_plot(
    name: str, cosines: Sequence[float], values: Mapping[str, Sequence[float]], slopes: Mapping[str, Sequence[float]]
) -> str:
    """Return an SVG of two charts, one above the other.

    Args:
        name: of the loss, with its settings.
        cosines: of each number, from below -0.5 to above 0.5.
        values: of the loss, by kind of pair.
        slopes: the derivative of each by the cosine.
    """
    charts = [
        line_chart(f"{name}: loss", cosines, values),
        line_chart("slope: derivative by the cosine", cosines, slopes),
    ]
    height = len(charts) * (HEIGHT + _TITLE)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(name)} by the cosine of a pair</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="{_PAPER}"/>',
    ]
    for place, chart in enumerate(charts):
        parts.append(
            f'<g transform="translate(0 {place * (HEIGHT + _TITLE) + _TITLE})">{"".join(_drawn(chart, cosines))}</g>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _drawn(chart: Chart, cosines: Sequence[float]) -> list[str]:
    left, top, right, bottom = chart.box
    parts = [f'<text x="{left}" y="{top - 16}" fill="{_INK}" font-weight="bold">{escape(chart.title)}</text>']
    for tick in chart.values:
        parts.append(f'<path d="M{left} {tick.at}H{right}" stroke="{_LINE}"/>')
        parts.append(f'<text x="{left - 8}" y="{tick.at + 4}" text-anchor="end" fill="{_FAINT}">{tick.text}</text>')
    for cosine in (-0.5, 0, 0.5):
        at = left + (right - left) * (cosine - cosines[0]) / (cosines[-1] - cosines[0])
        parts.append(f'<path d="M{at:.1f} {bottom}v5" stroke="{_FAINT}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 19}" text-anchor="middle" fill="{_FAINT}">{cosine}</text>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle}" y="{bottom + 34}" text-anchor="middle" fill="{_FAINT}">cosine of the pair</text>')
    for line in chart.lines:
        color = _COLORS[line.color]
        parts.append(f'<polyline points="{line.points}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{line.end[0] + 8}" y="{line.name_y}" fill="{color}">{escape(line.name)}</text>')
    return parts
