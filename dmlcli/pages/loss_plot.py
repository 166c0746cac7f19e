"""The plot of a loss (`losses NAME --plot FILE`): its value and its slope over the cosine of a pair, as SVG or PNG."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from dmlcli.pages.line_chart import HEIGHT, WIDTH, Chart, line_chart

if TYPE_CHECKING:
    from PIL.Image import Image

_TITLE = 26  # height of the title of a chart
_SIZE = 12  # of all letters
_COLORS = {"accent": "#c2410c", "good": "#15803d"}  # those of base.css on paper
_INK, _FAINT, _LINE, _PAPER = "#1d1d1f", "#6e6e73", "#e2e2dd", "#fafaf8"
_SCALE, _FINER = 2, 2  # pixels of a PNG for each unit; it is drawn finer and reduced, which smooths the lines
_ANCHORS = {"start": 0.0, "middle": 0.5, "end": 1.0}  # share of a text that is left of its position

Point = tuple[float, float]


class _Line(NamedTuple):
    """A line through points, in units of the image."""

    points: Sequence[Point]
    color: str
    width: int = 1


class _Text(NamedTuple):
    """A line of text; its position is on its baseline."""

    position: Point
    text: str
    color: str
    anchor: str = "start"
    is_title: bool = False


class LossPlot(NamedTuple):
    """What a plot consists of: two charts, one above the other."""

    title: str
    parts: Sequence[_Line | _Text]
    height: int

    def svg(self) -> str:
        """Return an SVG."""
        rows = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
            f'height="{self.height}" font-family="sans-serif" font-size="{_SIZE}">',
            f"<title>{escape(self.title)}</title>",
            f'<rect width="{WIDTH}" height="{self.height}" fill="{_PAPER}"/>',
            *map(_element, self.parts),
        ]
        return "\n".join([*rows, "</svg>\n"])

    def image(self) -> "Image":
        """Return an image of twice as many pixels as the SVG has units."""
        from PIL import Image, ImageDraw

        from dmlcli.pages import fonts

        scale = _SCALE * _FINER
        image = Image.new("RGB", (WIDTH * scale, self.height * scale), _PAPER)
        pen, size = ImageDraw.Draw(image), _SIZE * scale
        for part in self.parts:
            if isinstance(part, _Line):
                points = [(x * scale, y * scale) for x, y in part.points]
                pen.line(points, fill=part.color, width=part.width * scale, joint="curve")
            else:
                x, y = (place * scale for place in part.position)
                left = x - fonts.width(part.text, size) * _ANCHORS[part.anchor]
                fonts.write(pen, (left, y - fonts.ascent(size)), part.text, size, part.color)
        return image.resize((WIDTH * _SCALE, self.height * _SCALE), Image.Resampling.LANCZOS)


def loss_plot(
    name: str, cosines: Sequence[float], values: Mapping[str, Sequence[float]], slopes: Mapping[str, Sequence[float]]
) -> LossPlot:
    """Return the plot of a loss.

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
    parts: list[_Line | _Text] = []
    for place, chart in enumerate(charts):
        parts += _drawn(chart, cosines, place * (HEIGHT + _TITLE) + _TITLE)
    return LossPlot(f"{name} by the cosine of a pair", parts, len(charts) * (HEIGHT + _TITLE))


def _drawn(chart: Chart, cosines: Sequence[float], above: float) -> Iterator[_Line | _Text]:
    """Yield the parts of a chart that has so much above it."""
    left, right, (top, bottom) = chart.box[0], chart.box[2], (above + chart.box[1], above + chart.box[3])
    yield _Text((left, top - 16), chart.title, _INK, is_title=True)
    for tick in chart.values:
        yield _Line([(left, above + tick.at), (right, above + tick.at)], _LINE)
        yield _Text((left - 8, above + tick.at + 4), tick.text, _FAINT, "end")
    for cosine in (-0.5, 0, 0.5):
        at = left + (right - left) * (cosine - cosines[0]) / (cosines[-1] - cosines[0])
        yield _Line([(at, bottom), (at, bottom + 5)], _FAINT)
        yield _Text((at, bottom + 19), f"{cosine}", _FAINT, "middle")
    yield _Text(((left + right) / 2, bottom + 34), "cosine of the pair", _FAINT, "middle")
    for line in chart.lines:
        color = _COLORS[line.color]
        points = [tuple(map(float, point.split(","))) for point in line.points.split()]
        yield _Line([(x, above + y) for x, y in points], color, 2)
        yield _Text((line.end[0] + 8, above + line.name_y), line.name, color)


def _element(part: _Line | _Text) -> str:
    if isinstance(part, _Line):
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in part.points)
        return f'<polyline points="{points}" fill="none" stroke="{part.color}" stroke-width="{part.width}"/>'
    (x, y), weight = part.position, ' font-weight="bold"' if part.is_title else ""
    anchor = "" if part.anchor == "start" else f' text-anchor="{part.anchor}"'
    return f'<text x="{_number(x)}" y="{_number(y)}"{anchor} fill="{part.color}"{weight}>{escape(part.text)}</text>'


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
