"""Templates: all text is escaped, a missing value is an error, and a page is one file that loads nothing."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from dmlcli.pages import rendering
from dmlcli.pages.rendering import counted, interval, percent, points, render

TEMPLATES = Path(rendering.__file__).parent / "templates"


def test_a_page_has_its_style_and_script_inside_and_loads_nothing() -> None:
    page = render("hits.html", {}, answers=[], queries=0, explains=False)
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>")
    assert page.count("<title>Query results</title>") == page.count("<h1>Query results</h1>") == 1
    for name in ("base.css", "hits.css", "hits.js"):
        assert (TEMPLATES / name).read_text().rstrip() in page
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    assert f'content="{policy}"' in page
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


def test_a_page_without_a_script_allows_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plain.html").write_text(
        '{% extends "base.html" %}{% block title %}A & B{% endblock %}{% block style %}{% endblock %}'
        "{% block content %}<p>{{ text }}</p>{% endblock %}"
    )
    for file in ("base.html", "base.css"):
        (tmp_path / file).write_text((TEMPLATES / file).read_text())
    monkeypatch.setattr(rendering, "_TEMPLATES", tmp_path)
    environment = rendering._environment.__wrapped__()
    page = environment.get_template("plain.html").render(text="<b onload='x'>\"&")
    assert "<p>&lt;b onload=&#39;x&#39;&gt;&#34;&amp;</p>" in page
    assert "script-src" not in page and "<script" not in page


def test_a_value_that_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'queries' is undefined"):
        render("hits.html", {}, answers=[])


def test_no_template_turns_escaping_off() -> None:
    for template in TEMPLATES.glob("*.html"):
        assert not re.search(r"autoescape|\|\s*safe\b|Markup", template.read_text()), template.name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\udce9", r"caf\xe9"),  # a byte that is not UTF-8
        ("a\u202eb\x00", r"a\u202eb\x00"),
        ("two\r\n\tlines", "two lines"),
        ("<i>&", "&lt;i&gt;&amp;"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
    ],
)
def test_text_from_outside_is_shown_and_not_acted_on(text: str, shown: str) -> None:
    assert rendering._environment().from_string("{{ text }}").render(text=text) == shown


def test_numbers_for_people() -> None:
    assert (percent(0.625), percent(None)) == ("62.5 %", "-")
    assert (points(0.125), points(-0.004), points(None)) == ("+12.5", "-0.4", "-")
    assert (interval((0.5, 0.625)), interval(None)) == ("50.0 … 62.5", "-")
    assert (counted(1, "query", "queries"), counted(1200, "query", "queries")) == ("1 query", "1,200 queries")
