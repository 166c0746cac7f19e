"""The plot of a loss: two charts, whose lines are where the values are, as SVG and as an image."""

import re
from xml.etree import ElementTree

import pytest

from dmlcli.pages.loss_plot import loss_plot


def test_lines_are_where_the_values_are() -> None:
    cosines, values = [-1.0, 0.0, 1.0], {"positive": [4.0, 2.0, 0.0], "negative": [0.0, 0.0, 4.0]}
    text = loss_plot("a<b", cosines, values, {"positive": [-2.0, -2.0, -2.0], "negative": [0.0, 0.0, 4.0]}).svg()
    root = ElementTree.fromstring(text)
    titles = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text") if node.get("font-weight")]
    assert titles == ["a<b: loss", "slope: derivative by the cosine"]
    lines = re.findall(r'<polyline points="([^"]+)"[^>]*stroke-width="2"', text)
    (left, high), (middle, half), (right, low) = (map(float, point.split(",")) for point in lines[0].split())
    assert len(lines) == 4 and middle == (left + right) / 2 and half == (high + low) / 2 and high < low
    assert lines[1].split()[0].split(",") == [f"{left:g}", f"{low:g}"] and "negative" in text
    assert [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]*>-?0(?:\.5)?</text>', text)][-3:] == [
        round(left + (right - left) * share, 1) for share in (0.25, 0.5, 0.75)
    ]


def test_the_image_has_the_colors_where_the_svg_has_its_lines() -> None:
    cosines, values = [-1.0, 0.0, 1.0], {"positive": [4.0, 2.0, 0.0], "negative": [0.0, 0.0, 4.0]}
    plot = loss_plot("a loss", cosines, values, values)
    image, drawn = plot.image(), re.findall(r'points="([^"]+)"[^>]*stroke="(#\w+)" stroke-width="2"', plot.svg())
    assert image.size == (880, 944) and len(drawn) == 4
    for points, color in drawn:
        x, y = (float(place) for place in points.split()[1].split(","))  # the middle, where no other line is
        found = image.getpixel((round(2 * x), round(2 * y)))
        assert found == pytest.approx(tuple(bytes.fromhex(color[1:])), abs=12)  # lines are smoothed
    assert image.getpixel((2, 2)) == (0xFA, 0xFA, 0xF8)
