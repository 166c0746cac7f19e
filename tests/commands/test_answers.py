"""What each option of query does to the hits, on a catalog searched for real."""

import csv
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dmlcli
from dmlcli import indexes
from dmlcli.errors import UsageError
from dmlcli.report.query import Answer
from tests.conftest import Cli, Mission, make_embeddings, make_shop, photo, process

PRODUCTS, IMAGES = 8, 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plain_model: Path) -> Path:
    """A shop with prices, indexed with the built-in descriptor; the workspace lies beside the photos."""
    folder = tmp_path_factory.mktemp("priced")
    shop = make_shop(folder / "shop", PRODUCTS, IMAGES)
    with (folder / "shop.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "product", "category", "price", "name"])
        for number, file in enumerate(sorted(shop.rglob("*.png"))):
            product = int(file.parent.name[-2:])
            category = "mug" if product < 4 else "bowl"
            table.writerow([file.relative_to(folder), file.parent.name, category, 10 * product + 0.5, f"no. {number}"])
    dmlcli.index(folder / "shop.csv", model=plain_model, workspace=folder / ".dmlcli")
    return folder


@pytest.fixture
def ask(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One query, as the JSON that it answers with."""
    monkeypatch.chdir(place)

    def call(*arguments: object, code: int = 0) -> Any:
        by = [] if "--by" in arguments else ["--by", "image"]
        found = cli("query", *arguments, *by, "--format", "jsonl")
        assert found.code == code, found.err
        answers = [json.loads(line) for line in found.out.splitlines()]
        return answers[0] if len(answers) == 1 else answers

    return call


def image(product: int, number: int = 0) -> str:
    return f"shop/product-{product:02}/{number}.png"


def vectors(place: Path) -> tuple[dict[str, np.ndarray], indexes.Index]:
    """Every stored vector by its path."""
    index = indexes.open_index(place / ".dmlcli" / "index")
    rows = index.table.execute("SELECT id, path FROM items").fetchall()
    return {path: index.vectors([number])[0] for number, path in rows}, index


def unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def expected(query: np.ndarray, stored: dict[str, np.ndarray]) -> list[tuple[str, float]]:
    """Every image with its cosine, best first."""
    return sorted(((path, float(vector @ query)) for path, vector in stored.items()), key=lambda row: -row[1])


def test_a_filter_leaves_what_it_says_and_stays_exact(ask: Any, place: Path) -> None:
    stored, _ = vectors(place)
    answer = ask(image(1), "-k", 99, "--where", "category = 'bowl' and price < 60")
    kept = {path: vector for path, vector in stored.items() if path.split("/")[1] in ("product-04", "product-05")}
    assert [hit["image"] for hit in answer["hits"]] == [path for path, _ in expected(stored[image(1)], kept)]
    assert all(hit["columns"]["price"] in (40.5, 50.5) and hit["category"] == "bowl" for hit in answer["hits"])
    (one,) = ask(image(1), "--where", "name = 'no. 20'")["hits"]
    assert (one["columns"]["name"], one["rank"]) == ("no. 20", 1)


def test_a_filter_that_leaves_nothing_answers_no(ask: Any) -> None:
    assert ask(image(1), "--where", "price > 1000", code=1)["hits"] == []


def test_a_filter_that_is_none_is_named(place: Path, cli: Cli) -> None:
    found = cli("query", place / image(1), "--where", "prise < 20", "-w", place / ".dmlcli")
    assert found.code == 2 and "unknown column prise" in found.err and "price" in found.err.splitlines()[1]


def test_what_is_indexed_can_be_searched_with(ask: Any, place: Path) -> None:
    stored, _ = vectors(place)
    hits = ask("--like", image(2), "-k", 4)["hits"]
    assert [hit["image"] for hit in hits] == [path for path, _ in expected(stored[image(2)], stored)][:4]
    mean = unit(np.sum([stored[image(2, number)] for number in range(IMAGES)], axis=0))
    answer = ask("--like", "product-02", "-k", 4)
    assert answer["query"] == "product-02"
    for hit, (path, score) in zip(answer["hits"], expected(mean, stored), strict=False):
        assert hit["image"] == path and hit["score"] == pytest.approx(score, abs=1e-5)


def test_what_nothing_is_called_is_answered_with_the_nearest(place: Path, cli: Cli) -> None:
    found = cli("query", "--like", "produkt-02", "-w", place / ".dmlcli")
    assert found.code == 2 and "'produkt-02'" in found.err and "product-02" in found.err.splitlines()[1]


def test_vectors_come_from_files_of_three_kinds(ask: Any, place: Path, tmp_path: Path) -> None:
    stored, _ = vectors(place)
    two = np.stack([stored[image(3)], stored[image(5, 1)]])
    np.save(tmp_path / "two.npy", 7 * two)
    np.savez(tmp_path / "two.npz", embeddings=two, paths=np.array(["a", "b"]))
    (tmp_path / "one.json").write_text(json.dumps(two[0].tolist()))
    for file, names in (("two.npy", [f"{tmp_path}/two.npy:0", f"{tmp_path}/two.npy:1"]), ("two.npz", ["a", "b"])):
        answers = ask("--vector", tmp_path / file, "-k", 1)
        assert [answer["query"] for answer in answers] == names
        assert [answer["hits"][0]["image"] for answer in answers] == [image(3), image(5, 1)]
    assert ask("--vector", tmp_path / "one.json", "-k", 1)["hits"][0]["image"] == image(3)


@pytest.mark.parametrize("content", [b"", b"hello", b"[1, 2]", b'{"a": 1}', b"[[0, 0]]"])
def test_a_file_without_fitting_vectors_is_reported(place: Path, cli: Cli, tmp_path: Path, content: bytes) -> None:
    for name in ("v.npy", "v.json", "v.npz"):
        (tmp_path / name).write_bytes(content)
        found = cli("query", "--vector", tmp_path / name, "-w", place / ".dmlcli")
        assert found.code in (2, 4) and name in found.err and "hint: " in found.err and "Traceback" not in found.err


def test_an_index_of_bare_vectors_is_searched_with_vectors(tmp_path: Path, cli: Cli) -> None:
    """No model is needed, nor looked for."""
    made = make_embeddings(np.eye(4), ["a", "b", "c", "d"])
    indexes.build(tmp_path / "i", made, None)
    np.save(tmp_path / "v.npy", made.vectors[2])
    found = cli("query", "--vector", tmp_path / "v.npy", "--index", tmp_path / "i", "-k", 1)
    assert found.code == 0 and found.out.split("\t")[3] == "c"
    assert cli("query", "--like", "b", "--index", tmp_path / "i", "-k", 1).out.split("\t")[3] == "b"
    assert cli("query", "x.png", "--index", tmp_path / "i").code == 4


def test_several_photos_of_one_thing_are_fused(ask: Any, place: Path) -> None:
    stored, _ = vectors(place)
    names = [image(6, number) for number in range(3)]
    answer = ask(*names, "--fuse", "-k", 5)
    mean = unit(np.sum([stored[name] for name in names], axis=0))
    assert answer["query"] == f"{names[0]} and 2 more"
    for hit, (path, score) in zip(answer["hits"], expected(mean, stored), strict=False):
        assert hit["image"] == path and hit["score"] == pytest.approx(score, abs=1e-4)


def test_one_photo_that_cannot_be_read_does_not_keep_the_others_from_being_fused(ask: Any) -> None:
    answer = ask(image(6), "missing.png", image(6, 1), "--fuse", "-k", 1, code=3)
    assert answer["query"].endswith("and 1 more") and answer["hits"][0]["product"] == "product-06"
    assert ask("missing.png", "gone.png", "--fuse", code=3) == []


def test_photos_are_searched_away_from_others(ask: Any, place: Path) -> None:
    """And one that is indexed is no hit itself, however its path is written."""
    stored, _ = vectors(place)
    away = unit(stored[image(1)] - 0.5 * stored[image(4)])
    others = [path for path, _ in expected(away, stored) if path != image(4)]
    for minus in (image(4), str((place / image(4)).resolve())):
        hits = ask(image(1), "--minus", minus, "-k", 99)["hits"]
        assert [hit["image"] for hit in hits] == others


def test_feedback_moves_the_query_and_leaves_out_what_is_wrong(ask: Any, place: Path) -> None:
    """Rocchio: towards the mean of what is right, away from what is wrong."""
    stored, _ = vectors(place)
    right, wrong = [path for path in stored if "product-03" in path], image(4)
    mean = unit(np.mean([stored[path] for path in right], axis=0))
    moved = unit(stored[image(1)] + 0.75 * mean - 0.15 * stored[wrong])
    hits = ask(image(1), "--right", "product-03", "--wrong", wrong, "-k", 99)["hits"]
    assert [hit["image"] for hit in hits] == [path for path, _ in expected(moved, stored) if "product-04" not in path]
    assert all(hit["confidence"] is None for hit in hits)
    products = {hit["product"] for hit in ask(image(1), "--wrong", "product-04", "-k", 99)["hits"]}
    assert "product-04" not in products and "product-03" in products


def test_no_hits_are_explained_by_what_removed_them() -> None:
    def why(**values: Any) -> str:
        return Answer("q.jpg", (), **values).why_empty()

    assert why(closest=None, match=None, min_match=0.5) == "no image satisfies the filters"
    assert "match, 0.300, is below 0.500" in why(closest=0.9, match=0.3, min_match=0.5)
    assert "best score, 0.400, is below 0.500" in why(closest=0.4, min_score=0.5)
    assert "--min-confidence" in why(closest=0.9, min_score=0.5, match=0.8)


@pytest.mark.parametrize("options", [{"by": "products"}, {"by": "images"}])
def test_python_refuses_an_unknown_kind_of_hit(place: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="invalid --by"):
        dmlcli.query(place / image(1), workspace=place / ".dmlcli", **options)


def test_an_unwanted_product_is_left_out_and_nothing_else_changes(ask: Any) -> None:
    plain = [(hit["image"], hit["score"]) for hit in ask(image(1), "-k", 99)["hits"]]
    rest = [(path, score) for path, score in plain if "product-01" not in path and "product-04" not in path]
    for more in ([], ["--rerank", "aqe:depth=1"]):
        asked = ask(image(1), "--minus", "product-01", "--minus", "product-04", "-k", 5, *more)
        assert [hit["image"] for hit in asked["hits"]] == [path for path, _ in rest[:5]]
        assert asked["closest"] == pytest.approx(rest[0][1], abs=1e-5)
    names = ["--minus", "product-01", "--minus", "product-04"]
    (first,) = ask(image(1), "--by", "product", *names, "-k", 1)["hits"]
    assert first["image"] == rest[0][0]


@pytest.mark.parametrize(("images", "warned"), [(1, True), (2, True), (3, False)])
def test_reranking_by_neighbors_warns_where_products_have_few_images(
    plain_model: Path, tmp_path: Path, cli: Cli, images: int, warned: bool
) -> None:
    shop = make_shop(tmp_path / "shop", 4, images)
    make_shop(tmp_path / "more", 1, 6)
    (tmp_path / "more" / "product-00").rename(shop / "well-known")  # the usual product counts, not the mean
    dmlcli.index(shop, model=plain_model, workspace=tmp_path / "w")
    query = ("query", shop / "product-00" / "0.png", "-w", tmp_path / "w", "--rerank")
    found = cli(*query, "k-reciprocal")
    assert found.code == 0 and (f"half of the products have {images} images or fewer" in found.err) == warned
    assert "half of the products" not in cli(*query, "aqe").err


def test_a_part_of_a_photo_is_searched_with(ask: Any, place: Path, tmp_path: Path) -> None:
    wide = Image.new("RGB", (480, 400), "white")
    wide.paste(photo(3, size=(240, 200)), (120, 100))
    wide.save(tmp_path / "wide.png")
    photo(3, size=(240, 200)).save(tmp_path / "part.png")
    alone = ask(tmp_path / "part.png", "-k", 3)["hits"]
    for box in ("120,100,240,200", "25%,25%,50%,50%", "120, 25%, 240, 50%"):
        assert ask(tmp_path / "wide.png", "-k", 3, "--crop", box)["hits"] == alone
    assert ask(tmp_path / "wide.png", "-k", 3)["hits"] != alone


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "0,0,0,5", "-1,0,5,5", "0,0,10%%,5", ""])
def test_a_crop_that_is_none_is_reported(place: Path, cli: Cli, box: str) -> None:
    found = cli("query", place / image(1), "--crop", box, "-w", place / ".dmlcli")
    assert found.code == (2 if box else 0) and (not box or "hint: --crop" in found.err)


def test_a_crop_outside_of_the_photo_is_reported(place: Path, cli: Cli) -> None:
    found = cli("query", place / image(1), "--crop", "900,900,5,5", "-w", place / ".dmlcli")
    assert found.code == 4 and "48 x 40" in found.err


def test_images_of_a_product_are_folded(ask: Any, place: Path) -> None:
    stored, _ = vectors(place)
    cosines = expected(stored[image(0)], stored)
    of = {f"product-{number:02}": [s for p, s in cosines if f"-{number:02}/" in p] for number in range(PRODUCTS)}
    for pool, score in (("max", max), ("mean", lambda scores: sum(scores) / len(scores))):
        hits = ask(image(0), "--by", "product", "--pool", pool, "-k", 99)["hits"]
        right = sorted(((product, score(scores)) for product, scores in of.items()), key=lambda row: -row[1])
        assert [hit["product"] for hit in hits] == [product for product, _ in right]
        assert [hit["score"] for hit in hits] == pytest.approx([value for _, value in right], abs=1e-5)
    assert ask(image(0), "--by", "product", "-k", 3)["hits"] == ask(image(0), "--by", "product", "-k", 99)["hits"][:3]
    votes = ask(image(0), "--by", "product", "--pool", "vote", "-k", 99)["hits"]
    closest = cosines[:20]
    share = sum(s for p, s in closest if "-00/" in p) / sum(s for _, s in closest)
    assert (votes[0]["product"], votes[0]["images"]) == ("product-00", 3)
    assert votes[0]["score"] == pytest.approx(share, abs=1e-4)
    assert sum(hit["score"] for hit in votes) == pytest.approx(1, abs=1e-4)


def test_products_can_be_folded_among_some_only(ask: Any) -> None:
    hits = ask(image(0), "--by", "product", "--pool", "mean", "--where", "category = 'bowl'", "-k", 99)["hits"]
    assert {hit["product"] for hit in hits} == {f"product-{number:02}" for number in range(4, 8)}


def test_a_pool_without_products_is_a_mistake(place: Path, cli: Cli) -> None:
    found = cli("query", place / image(1), "--by", "image", "--pool", "mean", "-w", place / ".dmlcli")
    assert found.code == 2 and "--by product" in found.err


@pytest.mark.parametrize("way", ["aqe", "dba", "k-reciprocal", "aqe:k=3,alpha=0", "k-reciprocal:k1=4,k2=2,keep=0.5"])
def test_re_ranked_hits_are_in_their_new_order_and_keep_their_cosine(ask: Any, place: Path, way: str) -> None:
    stored, _ = vectors(place)
    cosines = dict(expected(stored[image(5)], stored))
    hits = ask(image(5), "--rerank", way, "-k", 99)["hits"]
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True) and len(hits) == len(stored)
    assert [hit["cosine"] for hit in hits] == pytest.approx([cosines[hit["image"]] for hit in hits], abs=1e-5)
    assert hits[0]["product"] == "product-05" and any(hit["score"] != hit["cosine"] for hit in hits)


def test_re_ranking_may_be_shallower_than_the_list(ask: Any) -> None:
    hits = ask(image(5), "--rerank", "dba:depth=4", "-k", 10)["hits"]
    scores = [hit["score"] for hit in hits]
    assert len(hits) == 10 and scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("way", ["aqee", "aqe:q=3", "aqe:k=x", "aqe:k=0", "k-reciprocal:keep=2", "dba:k=-1"])
def test_a_misspelt_re_ranking_is_reported(place: Path, cli: Cli, way: str) -> None:
    found = cli("query", place / image(1), "--rerank", way, "-w", place / ".dmlcli")
    assert found.code == 2 and "hint: " in found.err


def test_the_threshold_finds_itself_and_is_kept(
    ask: Any, place: Path, plain_model: Path, cli: Cli, tmp_path: Path
) -> None:
    known = ask(image(2), "--max-false-accepts", "5%")
    assert known["min_score"] is not None and known["hits"][0]["image"] == image(2)
    kept = json.loads((place / ".dmlcli" / "index" / "calibration.json").read_text())
    assert round(kept["calibration"]["threshold"], 6) == known["min_score"]
    photo(77).save(tmp_path / "odd.png")
    unknown = ask(tmp_path / "odd.png", "--max-false-accepts", "5%", code=1)
    assert unknown["hits"] == [] and unknown["closest"] < unknown["min_score"]
    report = cli("query", tmp_path / "odd.png", "--max-false-accepts", "5%", "--format", "table")
    assert "the best score, " in report.out and "accepts 5 % of photos of unknown products" in report.err
    dmlcli.index(place / "shop.csv", model=plain_model, workspace=place / ".dmlcli")
    assert not (place / ".dmlcli" / "index" / "calibration.json").exists()  # another index, another threshold


def test_too_few_products_teach_no_threshold(shop: Path, plain_model: Path, tmp_path: Path, cli: Cli) -> None:
    dmlcli.index(shop, model=plain_model, workspace=tmp_path / "w")
    found = cli("query", shop / "product-00" / "0.png", "--max-false-accepts", "5%", "-w", tmp_path / "w")
    assert found.code == 4 and "needs at least 5 usable products" in found.err


@pytest.mark.parametrize("score", ["-1.5", "2", "auto", "nan"])
def test_a_threshold_that_is_none_is_reported(place: Path, cli: Cli, score: str) -> None:
    found = cli("query", place / image(1), "--min-score", score, "-w", place / ".dmlcli")
    assert found.code == 2 and "--min-score" in found.err


@pytest.mark.parametrize("rate", ["0", "1", "100%", "-5%", "five", "nan"])
def test_a_rate_that_is_none_is_reported(place: Path, cli: Cli, rate: str) -> None:
    found = cli("query", place / image(1), "--max-false-accepts", rate, "-w", place / ".dmlcli")
    assert found.code == 2 and "--max-false-accepts" in found.err


def test_a_higher_rate_accepts_more(ask: Any) -> None:
    limits = [ask(image(2), "--max-false-accepts", rate)["min_score"] for rate in ("1%", "0.05", "30%")]
    assert limits[0] >= limits[1] > limits[2]


def test_a_model_without_probabilities_is_reported(place: Path, cli: Cli) -> None:
    found = cli("query", place / image(1), "--min-confidence", 0.9, "-w", place / ".dmlcli")
    assert found.code == 4 and "needs probabilities" in found.err
    both = cli("query", place / image(1), "--min-score", 0.5, "--max-false-accepts", "5%", "-w", place / ".dmlcli")
    assert both.code == 2 and "exclude each other" in both.err


def test_what_was_done_is_explained(ask: Any, place: Path, cli: Cli) -> None:
    options = ["--explain", "--rerank", "aqe", "--by", "product", "--min-score", "0.5", "--where", "price > 20"]
    began = time.perf_counter()
    stages = ask(image(3), *options)["stages"]
    took = time.perf_counter() - began
    names = [stage["name"].split()[0] for stage in stages]
    assert names == ["decode", "encode", "search", "re-rank", "remove", "group", "look"]
    assert stages[2]["candidates"] == 18 and 0 < sum(stage["seconds"] for stage in stages) < took
    report = cli("query", image(3), *options)
    assert re.search(r"ms +18  search 18 \(", report.err) and "\t" in report.out and "stages" not in report.out
    assert "stages" not in ask(image(3))


def test_a_page_is_written_beside_the_hits(ask: Any, place: Path, tmp_path: Path) -> None:
    ask(image(3), image(4), "-k", 2, "--html", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert text.count('<section class="query">') == 2 and text.count("<use ") == 6 and "30.5" in text


def test_stdin_is_shown_in_the_sheet(mission: Mission, tmp_path: Path) -> None:
    data = mission.images()[3].read_bytes()
    done = process("query", "-", "-k", 1, "--sheet", tmp_path / "s.png", cwd=mission.folder, stdin=data)
    assert done.returncode == 0
    with Image.open(tmp_path / "s.png") as sheet:
        tile = np.asarray(sheet.convert("RGB"), dtype=int)[40:180, 30:190]
    assert np.ptp(tile) > 60  # a picture, and no empty tile


def test_python_takes_numbers_as_they_are(place: Path) -> None:
    report = dmlcli.query([str(place / image(1))], min_score=0.9, workspace=place / ".dmlcli")
    assert all(hit.score >= 0.9 for answer in report.answers for hit in answer.hits)


def test_an_index_that_may_not_be_written_to_is_calibrated_all_the_same(place: Path, tmp_path: Path, cli: Cli) -> None:
    copy = shutil.copytree(place / ".dmlcli", tmp_path / ".dmlcli")
    (copy / "index" / "calibration.json").unlink(missing_ok=True)
    (copy / "index" / "calibration.json").mkdir()  # cannot be replaced by a file
    assert cli("query", place / image(1), "--max-false-accepts", "5%", "-w", copy).code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([""], 2, "the file name is empty"),  # of a variable that was never set
        (["--files-from", "/dev/null"], 1, "no photo was given"),
        (["--vector", "empty.npy"], 4, "empty.npy is empty"),
        (["--like", ""], 2, "'' not found in the index"),
        (["x.png", "--sheet", "out.nonsense"], 2, ".png"),
        (["x.png", "--sheet", "shop"], 2, ".png"),
        (["x.png", "--index", "shop.csv"], 4, "index not found in shop.csv"),
    ],
)
def test_what_a_script_may_get_wrong_is_reported(
    place: Path, cli: Cli, words: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    np.save("empty.npy", np.zeros((0, 1800)))
    found = cli("query", *words)
    assert (found.code, found.out) == (code, "") and said in found.err
