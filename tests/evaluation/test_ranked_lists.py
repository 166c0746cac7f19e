"""Ranked lists of any tool are judged like a search: what query prints, tables, truncated lists, odd names."""

import json
from pathlib import Path

import pytest

from dmlcli.errors import EmbeddingsError
from dmlcli.evaluation.ranked_lists import open_lists
from tests.conftest import Cli, Mission


def test_every_format_reads_alike(tmp_path: Path) -> None:
    hits = [("a/1.jpg", 0.9), ("b,2.jpg", 0.5)]
    (tmp_path / "l.tsv").write_text("".join(f"q.jpg\t{r}\t{s}\tp\t{i}\n" for r, (i, s) in enumerate(hits, 1)))
    (tmp_path / "l.csv").write_text(
        "query,rank,score,product,image\n" + "".join(f'q.jpg,{r},{s},p,"{i}"\n' for r, (i, s) in enumerate(hits, 1))
    )
    answer = {"schema": 1, "query": "q.jpg", "hits": [{"image": i, "score": s} for i, s in hits]}
    (tmp_path / "l.jsonl").write_text(json.dumps(answer) + "\n")
    (tmp_path / "l.json").write_text(json.dumps({"schema": 1, "answers": [answer]}))
    for name in ("l.tsv", "l.csv", "l.jsonl", "l.json"):
        assert open_lists(tmp_path / name) == {"q.jpg": hits}, name


def test_only_query_and_image_are_needed(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("image,query\nx.jpg,q\ny.jpg,q\n")
    assert open_lists(tmp_path / "l.csv") == {"q": [("x.jpg", -0.0), ("y.jpg", -1.0)]}


def test_escaped_cells_are_read_back(tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text("a\\tb\\\\n.jpg\t1\t0.5\tp\tc\\nd.jpg\n")
    assert open_lists(tmp_path / "l.tsv") == {"a\tb\\n.jpg": [("c\nd.jpg", 0.5)]}


@pytest.mark.parametrize("text", ["", "query,score\nq,1\n", "{broken", "query,image,score\nq,i,high\n", '{"a": 1}'])
def test_what_is_no_list_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(EmbeddingsError, match=r"l\.csv"):
        open_lists(tmp_path / "l.csv")


def test_lists_of_query_score_as_its_search_does(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    assert cli("index", shop, "--model", plain_model, "-w", tmp_path / "w").code == 0
    printed = cli(
        "query", shop, "-k", 12, "--by", "image", "-w", tmp_path / "w", "--model", plain_model, "--format", "tsv"
    )
    (tmp_path / "lists.tsv").write_text(printed.out)
    searched = json.loads(cli("eval", shop, "--model", plain_model, "--format", "json").out)
    found = cli("eval", shop, "--ranked", tmp_path / "lists.tsv", "--format", "json")
    assert found.code == 0, found.err
    report = json.loads(found.out)
    by_rank = {name: score for name, score in searched["metrics"].items() if not name.startswith("product_")}
    assert report["metrics"] == pytest.approx(by_rank) and report["protocol"] == "leave-one-out"


def test_what_a_short_list_cannot_tell_is_not_reported(cli: Cli, shop: Path, tmp_path: Path) -> None:
    """One hit each of 12 images: the first query finds its product, the second does not, the others found nothing."""
    first, second = shop / "product-00" / "0.png", shop / "product-01" / "0.png"
    lines = [f"{first}\t1\t0.9\tx\t{shop / 'product-00' / '1.png'}", f"{second}\t1\t0.9\tx\t{first}"]
    (tmp_path / "l.tsv").write_text("\n".join([*lines, f"nobody.png\t1\t0.9\tx\t{first}"]) + "\n")
    found = cli("eval", shop, "--ranked", tmp_path / "l.tsv", "--format", "json")
    report = json.loads(found.out)
    assert report["metrics"]["recall@1"] == pytest.approx(1 / 12)
    assert report["metrics"]["recall@5"] is None and report["metrics"]["map@r"] is None
    assert any("1 lists without a query" in text for text in report["warnings"])
    assert any("10 queries without a list" in text for text in report["warnings"])
    assert cli("eval", shop, "--ranked", tmp_path / "l.tsv", "--metrics", "nmi").code == 2


def test_lists_of_another_catalog_are_refused(cli: Cli, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text("elsewhere.png\t1\t0.9\tx\tother.png\n")
    found = cli("eval", shop, "--ranked", tmp_path / "l.tsv")
    assert found.code == 4 and "elsewhere.png" in found.err and "hint" in found.err


def test_a_model_at_hand_does_not_choose_the_queries_of_lists(cli: Cli, mission: Mission, tmp_path: Path) -> None:
    """Another tool's lists are not ours: what our model was trained on is nothing to it."""
    image = mission.images()[0]
    (tmp_path / "l.tsv").write_text(f"{image}\t1\t0.9\tx\t{mission.images()[1]}\n")
    found = cli("eval", mission.catalog, "--ranked", tmp_path / "l.tsv", "-w", mission.workspace, "--format", "json")
    assert json.loads(found.out)["queries"] == 100
