"""eval --rerank: what each re-ranking gains, as plain loops find it, in both protocols, from the top lists alone."""

import csv
import io
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.catalog import Item
from dmlcli.errors import UsageError
from dmlcli.evaluation.query_results import evaluate_queries
from dmlcli.evaluation.reranked import Reranker
from dmlcli.metrics import confidence
from dmlcli.ranking import Groups, search
from dmlcli.search import rerank
from tests.commands.test_eval import npz
from tests.conftest import Cli

Array = Any


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def gallery_items(seed: int, products: int = 12, images: int = 7, spread: float = 1.3) -> tuple[Array, list[str]]:
    """Products around the same points for every seed, their images more or less apart."""
    points = np.random.default_rng(99).normal(size=(products, 1, 10))
    noise = np.random.default_rng(seed).normal(size=(products, images, 10))
    return unit((points + spread * noise).reshape(-1, 10)), [f"p{n // images}" for n in range(products * images)]


def slow_twin(
    queries: Array, gallery: Array, asked: Sequence[str], shelved: Sequence[str], way: rerank.Rerank | None, own: bool
) -> dict[str, list[float]]:
    """Recall@1 and MAP@R of each query, with a sort of the whole gallery and the definitions in plain loops."""
    found: dict[str, list[float]] = {"recall@1": [], "map@r": []}
    for row, (query, product) in enumerate(zip(queries, asked, strict=True)):
        order = [place for place in np.argsort(-(gallery @ query), kind="stable").tolist() if not own or place != row]
        if way is not None:
            top = order[: way.depth]
            scores = way(query, gallery[top])
            order = [top[place] for place in np.argsort(-scores, kind="stable")] + order[way.depth :]
        right = [shelved[place] == product for place in order]
        relevant = sum(right)
        hits, precision = 0, 0.0
        for place, is_right in enumerate(right[:relevant], start=1):
            hits += is_right
            precision += hits / place if is_right else 0
        found["recall@1"].append(float(right[0]) if relevant else np.nan)
        found["map@r"].append(precision / relevant if relevant else np.nan)
    return found


WAYS = ["aqe", "aqe:k=3,alpha=1", "dba:k=2", "k-reciprocal:k1=6,k2=3", "dba:depth=9", "k-reciprocal:k1=2,k2=2,depth=5"]


@pytest.mark.parametrize("protocol", ["query/gallery", "leave-one-out"])
def test_gains_are_those_of_plain_loops(cli: Cli, tmp_path: Path, protocol: str) -> None:
    own = protocol == "leave-one-out"
    gallery, shelved = gallery_items(1)
    queries, asked = (gallery, shelved) if own else gallery_items(2, images=3)
    asked = asked if own else [*asked[:-3], "nobody", "nobody", "nobody"]
    np.savez(tmp_path / "g.npz", embeddings=gallery, labels=np.array(shelved))
    np.savez(tmp_path / "q.npz", embeddings=queries, labels=np.array(asked))
    sides = [tmp_path / "g.npz", *([] if own else ["--queries", tmp_path / "q.npz"])]
    found = cli("eval", *sides, "--rerank", ",".join(WAYS), "--format", "json", "--seed", 5)
    assert found.code == 0, found.err
    report = json.loads(found.out)
    assert report["protocol"] == protocol and [one["name"] for one in report["reranked"]] == WAYS
    plain = slow_twin(queries, gallery, asked, shelved, None, own)
    for one in report["reranked"]:
        values = slow_twin(queries, gallery, asked, shelved, rerank.parse(one["name"]), own)
        for name, expected in values.items():
            gaps = np.array(expected) - np.array(plain[name])
            assert one["metrics"][name] == pytest.approx(np.nanmean(expected))
            assert one["plain"][name] == report["metrics"][name] == pytest.approx(np.nanmean(plain[name]))
            assert one["difference"][name] == pytest.approx(np.nanmean(gaps))
            low, high = confidence.interval95(gaps, asked, seed=5) or (0, 0)
            assert one["significant"][name] == (low > 0 or high < 0)
        assert one["milliseconds"] > 0 and set(one["metrics"]) == {
            name for name in report["metrics"] if "product" not in name
        }
    assert report["reranked"][0]["difference"]["map@r"] > 0.01


def test_eval_measures_what_query_does(cli: Cli, tmp_path: Path) -> None:
    """The lists that `query --rerank` prints, judged as they are, score what `eval --rerank` tells."""
    for name, (vectors, products) in (("g", gallery_items(1)), ("q", gallery_items(2, images=3))):
        paths = np.array([f"{name}{row}.png" for row in range(len(products))])
        np.savez(tmp_path / f"{name}.npz", embeddings=vectors, labels=np.array(products), paths=paths)
    sides = [tmp_path / "g.npz", "--queries", tmp_path / "q.npz", "--format", "json"]
    assert cli("index", tmp_path / "g.npz", "-o", tmp_path / "i", "-w", tmp_path / "w").code == 0
    report = json.loads(cli("eval", *sides, "--rerank", "aqe:k=2,dba:k=2,k-reciprocal:k1=4,k2=2,depth=50").out)
    for one in report["reranked"]:
        options = ["--index", tmp_path / "i", "-k", 84, "--rerank", one["name"], "--by", "image", "--format", "tsv"]
        (tmp_path / "lists.tsv").write_text(cli("query", "--vector", tmp_path / "q.npz", *options).out)
        lists = json.loads(cli("eval", *sides, "--ranked", tmp_path / "lists.tsv").out)
        assert one["metrics"] == pytest.approx(lists["metrics"])


def test_what_may_not_be_found_takes_no_part(cli: Cli, shop: Path, plain_model: Path) -> None:
    """With its own source left out, a list must not be put into order by images that the query may not find."""
    table = shop / "photos.csv"
    rows = [f"product-{n // 3:02}/{n % 3}.png,p{n // 3},c{n // 3}{n % 3 // 2}" for n in range(12)]
    table.write_text("\n".join(["image,product,camera", *rows]))
    options = ["--model", plain_model, "--exclude-same", "session", "--format", "json"]
    report = json.loads(cli("eval", table, *options, "--rerank", "all").out)
    assert [one["name"] for one in report["reranked"]] == ["aqe", "dba", "k-reciprocal"]
    assert report["without_positive"] == 0 and all(0 <= one["metrics"]["map@r"] <= 1 for one in report["reranked"])


def test_top_lists_are_those_of_a_whole_sort() -> None:
    """Ties count against the search: of equals, what is wrong stands before what is right."""
    rng = np.random.default_rng(3)
    gallery = unit(np.repeat(rng.normal(size=(20, 6)), 2, axis=0))  # every row twice, of different products
    products = [str(rng.integers(5)) for _ in gallery]
    queries, asked = gallery[::3], products[::3]
    own = np.arange(0, len(gallery), 3)
    for found in search(queries, gallery, Groups(asked, products), own_rows=own):
        scores = (gallery @ queries[found.query]).round(5).tolist()
        seen = [(-scores[row], products[row] == asked[found.query]) for row in range(len(gallery))]
        order = sorted(one for row, one in enumerate(seen) if row != own[found.query])
        for depth in (1, 4, 17, 39, 500):
            rows, ranks = found.top(depth)
            assert [seen[row] for row in rows] == order[:depth] and len(set(rows)) == len(rows)
        assert ranks.tolist() == [place for place, (_, right) in enumerate(order, start=1) if right]


def test_a_collapse_scores_nothing_after_re_ranking_either(cli: Cli, tmp_path: Path) -> None:
    file = npz(tmp_path / "e.npz", np.ones((20, 4)), "aaaaabbbbbcccccddddd")
    report = json.loads(cli("eval", file, "--rerank", "all", "--format", "json").out)
    for one in report["reranked"]:
        assert one["metrics"]["recall@1"] == 0 and one["metrics"]["map@r"] == 0 and not any(one["significant"].values())


def test_memory_is_that_of_the_lists() -> None:
    """40,000 images: all against all would be 6.4 GB."""
    rng = np.random.default_rng(0)
    gallery = unit(rng.normal(size=(40_000, 8)))
    items = [Item(str(row), str(row % 4000)) for row in range(len(gallery))]
    ways = rerank.parse_all(["all"])
    reranker = Reranker(ways, gallery[:40], gallery)
    tracemalloc.start()
    evaluate_queries(gallery[:40], gallery, items[:40], items, own_rows=np.arange(40), observe=[reranker.observe])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert all(len(ranks) == 9 for one in reranker.made for ranks in one.rankings)


def test_it_is_reported_in_every_format(cli: Cli, tmp_path: Path) -> None:
    gallery, names = gallery_items(1)
    np.savez(tmp_path / "g.npz", embeddings=gallery, labels=np.array(names))
    options = [
        tmp_path / "g.npz",
        "--rerank",
        "aqe:k=3,dba",
        "--metrics",
        "recall@1,nmi",
        "--html",
        tmp_path / "r.html",
    ]
    table = cli("eval", *options)
    assert table.code == 0 and "aqe:k=3" in table.out and "ms a query" in table.out and "MAP@R" in table.out
    page = (tmp_path / "r.html").read_text()
    assert "<h2>Re-ranking</h2>" in page and "aqe:k=3" in page and ("better" in page or "not significant" in page)
    rows = list(csv.DictReader(io.StringIO(cli("eval", *options, "--format", "csv").out)))
    assert [row["ranking"] for row in rows] == ["plain", "plain", "aqe:k=3", "aqe:k=3", "dba", "dba"]
    last = rows[2]
    assert float(last["score"]) - float(last["other"]) == pytest.approx(float(last["difference"]), abs=2e-6)
    assert float(last["difference_low"]) <= float(last["difference"]) <= float(last["difference_high"])
    assert rows[0]["other"] == "" and rows[0]["low"]
    against = cli("eval", *options, "--against", tmp_path / "g.npz", "--format", "markdown").out.splitlines()
    assert len({line.count("|") for line in against}) == 1 and against[2].startswith("| plain | Recall@1 |")
    assert cli("eval", *options, "--format", "latex").out.count("aqe:k=3") == 2


def test_words_that_name_no_re_ranking_are_reported_at_once(cli: Cli, tmp_path: Path) -> None:
    for wrong, hint in (("aqee", "aqe"), ("", "all"), ("aqe:k=0", "aqe:k=5"), ("dba,aqe:q=1", "alpha")):
        found = cli("eval", tmp_path / "gone.npz", "--rerank", wrong)
        assert found.code == 2 and hint in found.err.splitlines()[1], found.err
    found = cli("eval", tmp_path / "gone.npz", "--rerank", "aqe", "--ranked", tmp_path / "l.tsv")
    assert found.code == 2 and "--ranked" in found.err


def test_several_ways_stand_in_one_word() -> None:
    assert rerank.parse_all(["aqe:k=3,alpha=2,dba", "aqe"]) == [*map(rerank.parse, ("aqe:k=3,alpha=2", "dba", "aqe"))]
    assert [way.name for way in rerank.parse_all(["all,aqe"])] == list(rerank.WAYS)
    with pytest.raises(UsageError, match="invalid value for --rerank: 'k=3'"):
        rerank.parse_all(["k=3"])


def test_a_dry_run_counts_re_ranking_too(cli: Cli, shop: Path, plain_model: Path) -> None:
    common = [shop, "--model", plain_model, "--dry-run", "--format", "json"]
    plain, more = (json.loads(cli("eval", *common, *options).out) for options in ([], ["--rerank", "all"]))
    assert more["seconds"] > plain["seconds"]
