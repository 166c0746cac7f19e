"""eval of several catalogs: each pair scores as the two catalogs alone do."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, make_shop

SCORES = ("recall@1", "map@r")


@pytest.fixture
def shops(tmp_path: Path, cli: Cli) -> tuple[Path, Path, Path]:
    """Two catalogs with four and six products of the same names, and a workspace in which both are embedded."""
    studio, phone = make_shop(tmp_path / "studio", 4), make_shop(tmp_path / "phone", 6)
    made = cli("index", studio, phone, "--merge-products", "--backbone", "descriptor", "-w", tmp_path / "w")
    assert made.code == 0, made.err
    return studio, phone, tmp_path / "w"


def report(cli: Cli, *arguments: object) -> dict[str, Any]:
    found = cli("eval", *arguments, "--format", "json")
    assert found.code == 0, found.err
    read: dict[str, Any] = json.loads(found.out)
    return read


def row(found: dict[str, Any], queries_of: str, gallery_of: str | None) -> dict[str, Any]:
    (one,) = [one for one in found["by_catalog"] if (one["queries_of"], one["gallery_of"]) == (queries_of, gallery_of)]
    assert list(one["metrics"]) == list(SCORES)
    return dict(one)


def assert_scored_as(one: dict[str, Any], alone: dict[str, Any]) -> None:
    for name in SCORES:
        assert one["metrics"][name] == pytest.approx(alone["metrics"][name])
        assert one["interval95"][name] == pytest.approx(alone["interval95"][name])
    counts = ("queries", "gallery", "products", "without_positive")
    assert [one[key] for key in counts] == [alone[key] for key in counts]


def test_each_pair_scores_as_its_catalogs_alone(shops: tuple[Path, Path, Path], cli: Cli) -> None:
    studio, phone, place = shops
    both = report(cli, studio, phone, "--merge-products", "-w", place)
    assert_scored_as(row(both, "studio", "studio"), report(cli, studio, "-w", place))
    assert_scored_as(row(both, "phone", "phone"), report(cli, phone, "-w", place))
    assert_scored_as(row(both, "studio", "phone"), report(cli, phone, "--queries", studio, "-w", place))
    crossed = row(both, "phone", "studio")
    assert_scored_as(crossed, report(cli, studio, "--queries", phone, "-w", place))
    assert crossed["without_positive"] == 6  # photos of the two products that only phone has
    whole = [row(both, name, None) for name in ("studio", "phone")]
    assert [one["gallery"] for one in whole] == [30, 30]
    for name in SCORES:  # all queries are those of either catalog
        mean = sum(one["queries"] * one["metrics"][name] for one in whole) / both["queries"]
        assert mean == pytest.approx(both["metrics"][name])


def test_products_that_are_kept_apart_are_not_searched_across(shops: tuple[Path, Path, Path], cli: Cli) -> None:
    studio, phone, place = shops
    apart = report(cli, studio, phone, "-w", place)
    pairs = [(one["queries_of"], one["gallery_of"]) for one in apart["by_catalog"]]
    assert pairs == [("studio", "studio"), ("studio", None), ("phone", "phone"), ("phone", None)]
    assert apart["products"] == 10 and row(apart, "studio", "studio")["products"] == 4


def test_queries_of_their_own_are_searched_in_each_catalog(
    shops: tuple[Path, Path, Path], tmp_path: Path, cli: Cli
) -> None:
    studio, phone, place = shops
    asked = make_shop(tmp_path / "asked", 3)
    found = report(cli, studio, phone, "--merge-products", "--queries", asked, "-w", place)
    assert [one["gallery_of"] for one in found["by_catalog"]] == ["studio", "phone", None]
    assert_scored_as(row(found, str(asked), "phone"), report(cli, phone, "--queries", asked, "-w", place))
    assert row(found, str(asked), None)["metrics"] == {name: found["metrics"][name] for name in SCORES}


def test_a_query_does_not_find_its_own_source_in_its_catalog(tmp_path: Path, cli: Cli) -> None:
    for name in ("a", "b"):
        shop = make_shop(tmp_path / name, 3)
        photos = sorted(photo.relative_to(shop) for photo in shop.rglob("*.png"))
        rows = [f"{photo},{photo.parent},camera-{int(photo.stem) % 2}\n" for photo in photos]
        (shop / f"{name}.csv").write_text("image,product,source\n" + "".join(rows))
    tables = [tmp_path / name / f"{name}.csv" for name in ("a", "b")]
    place = ("--exclude-same", "camera", "-w", tmp_path / "w")
    assert cli("index", *tables, "--merge-products", "--backbone", "descriptor", "-w", tmp_path / "w").code == 0
    both = report(cli, *tables, "--merge-products", *place)
    assert_scored_as(row(both, "a", "a"), report(cli, tables[0], *place))
    assert row(both, "a", "b")["without_positive"] == 0  # cameras of the same name are two cameras


def test_the_table_is_in_every_format(shops: tuple[Path, Path, Path], tmp_path: Path, cli: Cli) -> None:
    studio, phone, place = shops
    arguments = ("eval", studio, phone, "--merge-products", "-w", place)
    shown = cli(*arguments, "--html", tmp_path / "r.html")
    assert shown.code == 0 and [line.split()[:2] for line in shown.out.splitlines() if "studio" in line][:3] == [
        ["studio", "studio"],
        ["studio", "phone"],
        ["studio", "all"],
    ]
    assert "<td>studio</td><td>phone</td>" in (tmp_path / "r.html").read_text(encoding="utf-8")
    scores = row(report(cli, *arguments[1:]), "phone", "studio")
    lines = list(csv.DictReader(io.StringIO(cli(*arguments, "--format", "csv", "--rerank", "aqe").out)))
    (line,) = [
        line
        for line in lines
        if (line["queries_of"], line["gallery_of"], line["metric"]) == ("phone", "studio", "map@r")
    ]
    low, high = scores["interval95"]["map@r"]
    assert [float(line[key]) for key in ("score", "low", "high")] == pytest.approx(
        [scores["metrics"]["map@r"], low, high], abs=1e-6
    )
    assert (line["ranking"], line["queries"], line["gallery"], line["difference"]) == ("plain", "18", "12", "")
    assert {line["queries_of"] for line in lines if line["ranking"] == "aqe"} == {"all"}
    assert "| phone | studio | 18 | 12 | MAP@R |" in cli(*arguments, "--format", "markdown").out


def test_what_needs_one_catalog_or_several_says_so(shops: tuple[Path, Path, Path], tmp_path: Path, cli: Cli) -> None:
    studio, phone, place = shops
    lists = tmp_path / "lists.csv"
    lists.write_text("query,image\n")
    ranked = cli("eval", studio, phone, "--ranked", lists, "-w", place)
    assert ranked.code == 2 and "--ranked works with one catalog" in ranked.err
    for given in ((studio,), ()):
        alone = cli("eval", *given, "--merge-products", "-w", place)
        assert alone.code == 2 and "--merge-products needs several" in alone.err
    assert report(cli, studio, "-w", place)["by_catalog"] == []
