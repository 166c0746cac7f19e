"""eval scores a search as the definitions say, in both protocols, and says what the numbers rest on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli import embeddings
from tests.conftest import SAMPLE, Cli, Mission, make_embeddings

PRODUCTS = ["product_recall@1", "product_recall@3", "product_recall@5"]
METRICS = ["recall@1", "recall@5", "recall@10", "map@r", "r_precision", *PRODUCTS]
KEYS = [
    "schema",
    "protocol",
    "queries",
    "gallery",
    "products",
    "trained_products",
    "without_positive",
    "metrics",
    "interval95",
    "model",
    "seed",
    "caution",
    "skipped",
    "scope",
    "excluded",
    "includes_training",
    "missing_as_zero",
    "warnings",
    "inflation",
    "insight",
    "reliability",
    "against",
    "reranked",
    "by_catalog",
    "published",
    "failed",
    "page",
    "fingerprints",
    "versions",
]


def npz(file: Path, vectors: Any, labels: str) -> Path:
    np.savez(file, embeddings=np.asarray(vectors, dtype=float), labels=np.array(list(labels)))
    return file


def at(*degrees: float) -> Any:
    """Unit vectors in the plane: what is closer in angle ranks higher."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def scores(cli: Cli, *arguments: object, names: list[str] = METRICS) -> dict[str, Any]:
    found = cli("eval", *arguments, "--format", "json")
    assert found.code == 0, found.err
    report: dict[str, Any] = json.loads(found.out)
    assert list(report) == KEYS and list(report["metrics"]) == list(report["interval95"]) == names
    return report


def test_the_worked_example_of_the_definitions(cli: Cli, tmp_path: Path) -> None:
    """Relevance 1,0,1,0,0,1 with R = 3."""
    gallery = npz(tmp_path / "g.npz", at(1, 2, 3, 4, 5, 6), "abacba")
    report = scores(cli, gallery, "--queries", npz(tmp_path / "q.npz", at(0), "a"))
    assert (report["protocol"], report["queries"], report["gallery"]) == ("query/gallery", 1, 6)
    assert report["metrics"]["recall@1"] == 1
    assert report["metrics"]["r_precision"] == pytest.approx(2 / 3)
    assert report["metrics"]["map@r"] == pytest.approx((1 + 2 / 3) / 3, abs=1e-6)


def test_the_second_worked_example(cli: Cli, tmp_path: Path) -> None:
    """Relevance 0,1,1 with R = 2."""
    gallery = npz(tmp_path / "g.npz", at(1, 2, 3), "baa")
    found = scores(cli, gallery, "--queries", npz(tmp_path / "q.npz", at(0), "a"))["metrics"]
    assert (found["recall@1"], found["r_precision"], found["map@r"]) == (0, 0.5, 0.25)


def test_leave_one_out_leaves_out_the_own_row_alone(cli: Cli, tmp_path: Path) -> None:
    report = scores(cli, npz(tmp_path / "e.npz", at(0, 0, 50, 51, 90), "aabbc"))
    assert (report["protocol"], report["queries"], report["gallery"]) == ("leave-one-out", 5, 5)
    assert report["without_positive"] == 1 and report["metrics"]["recall@1"] == 1


def test_all_equal_embeddings_score_zero(cli: Cli, tmp_path: Path) -> None:
    metrics = scores(cli, npz(tmp_path / "e.npz", np.ones((20, 4)), "aaaaabbbbbcccccddddd"))["metrics"]
    assert metrics["recall@1"] == metrics["map@r"] == metrics["r_precision"] == metrics["recall@10"] == 0


def test_a_collapse_is_reported(cli: Cli, tmp_path: Path) -> None:
    """Ties counted for and against the search differ: whoever sees 0 must learn why."""
    found = cli("eval", npz(tmp_path / "e.npz", np.ones((8, 4)), "aaaabbbb"))
    assert "warning" in found.err


def test_queries_without_positive_are_counted_and_left_out(cli: Cli, tmp_path: Path) -> None:
    gallery = npz(tmp_path / "g.npz", at(0, 40), "ab")
    report = scores(cli, gallery, "--queries", npz(tmp_path / "q.npz", at(1, 39, 2), "abz"))
    assert (report["queries"], report["without_positive"], report["metrics"]["recall@1"]) == (3, 1, 1)
    assert "1 quer" in cli("eval", gallery, "--queries", tmp_path / "q.npz").err


def test_where_no_query_has_an_answer_there_is_no_score_and_no_success(cli: Cli, tmp_path: Path) -> None:
    """Of the definitions: if none is valid, the exit code is not 0, the value null, never NaN."""
    found = cli("eval", npz(tmp_path / "e.npz", at(0, 10, 20), "abc"), "--format", "json")
    assert found.code in (1, 4) and "NaN" not in found.out


def test_a_k_beyond_the_gallery_has_no_value(cli: Cli, tmp_path: Path) -> None:
    """Of the definitions: null for K > gallery size."""
    gallery = npz(tmp_path / "g.npz", at(0, 10, 20, 30, 40, 50), "aabbcc")
    metrics = scores(cli, gallery, "--queries", npz(tmp_path / "q.npz", at(1), "a"))["metrics"]
    assert (metrics["recall@5"], metrics["recall@10"]) == (1, None)


def test_labels_need_be_there(cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", embeddings=np.eye(3))
    found = cli("eval", tmp_path / "e.npz")
    assert found.code == 4 and "no query has a product" in found.err


def test_embeddings_of_two_lengths_do_not_go_together(cli: Cli, tmp_path: Path) -> None:
    found = cli(
        "eval", npz(tmp_path / "g.npz", np.eye(3), "abc"), "--queries", npz(tmp_path / "q.npz", np.eye(2), "ab")
    )
    assert found.code == 2 and "dimensions" in found.err


def test_an_embedding_that_is_no_number_is_reported(cli: Cli, tmp_path: Path) -> None:
    found = cli("eval", npz(tmp_path / "bad.npz", [[1, np.nan], [0, 1]], "aa"))
    assert found.code == 4 and "bad.npz" in found.err and "finite" in found.err


def test_intervals_hold_the_score_and_repeat_with_the_seed(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = npz(tmp_path / "e.npz", rng.normal(size=(60, 5)), "abcdefghij" * 6)
    report = scores(cli, file, "--seed", 3)
    for name in METRICS:
        low, high = report["interval95"][name]
        assert 0 <= low <= report["metrics"][name] <= high <= 1
    assert scores(cli, file, "--seed", 3) == report != scores(cli, file, "--seed", 4)


def test_the_trained_catalog_is_named_and_its_weights_are_no_new_warning(mission: Mission, cli: Cli) -> None:
    found = cli("eval", "-w", mission.workspace)
    assert found.code == 0 and "leave-one-out: 100 queries of 20 products among 100 images" in found.out
    assert "all images, includes training products" in found.out
    assert "Recall@1" in found.out and "MAP@R" in found.out and "95 % interval" in found.out
    assert "is used instead" not in found.err  # said when it happened, and by status
    quiet = cli("eval", "-w", mission.workspace, "-q")
    assert quiet.code == 0 and quiet.err == ""
    assert "the model was trained on 20 of these products" in found.err
    report = scores(cli, "-w", mission.workspace)
    assert "is used instead" in report["caution"] and report["trained_products"] == 20 and report["includes_training"]
    assert report["metrics"]["recall@1"] > 0.6


def test_all_includes_training_products_and_says_so(mission: Mission, cli: Cli) -> None:
    found = cli("eval", "-w", mission.workspace, "--all")
    assert found.code == 0 and "100 queries of 20 products among 100 images (all images, includes training" in found.out
    assert "includes training products" in found.err and "trained on 20 of these products" in found.err
    assert scores(cli, "-w", mission.workspace, "--all")["includes_training"]


def test_queries_of_another_catalog(workspace: Path, mission: Mission, cli: Cli) -> None:
    """And a second time nothing is embedded again: the answer is the same and its files are not rewritten."""
    arguments = (mission.catalog, "--queries", SAMPLE / "queries", "-w", workspace)
    report = scores(cli, *arguments)
    assert (report["protocol"], report["queries"], report["gallery"]) == ("query/gallery", 108, 100)
    assert report["without_positive"] == 108 - 40
    before = (workspace / "evaluated" / "queries" / "vectors.npy").stat().st_mtime_ns
    assert scores(cli, *arguments) == report
    assert (workspace / "evaluated" / "queries" / "vectors.npy").stat().st_mtime_ns == before


def test_splits_of_a_table_are_queries_and_gallery(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    table = shop / "photos.csv"
    rows = [f"product-{n // 3:02}/{n % 3}.png,p{n // 3},{'test' if n % 3 == 0 else 'train'}" for n in range(12)]
    table.write_text("\n".join(["image,product,split", *rows]))
    report = scores(
        cli, table, "--query-split", "test", "--gallery-split", "train", "--model", plain_model, "-w", tmp_path
    )
    assert (report["queries"], report["gallery"], report["metrics"]["recall@1"]) == (4, 8, 1)
    found = cli("eval", table, "--query-split", "test", "--gallery-split", "trian", "--model", plain_model)
    assert found.code == 2 and "train" in found.err


def test_unreadable_images_are_listed_and_exit_3(cli: Cli, shop: Path, plain_model: Path) -> None:
    (shop / "product-00" / "cut.jpg").write_bytes(b"<html>")
    found = cli("eval", shop, "--model", plain_model)
    assert found.code == 3 and "cut.jpg" in found.err and "12 queries" in found.out


def test_embeddings_of_two_models_are_not_compared(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        embeddings.save(tmp_path / name, make_embeddings(np.eye(2), ["x", "y"], model=f"model {name}"))
    assert cli("eval", tmp_path / "a", "--queries", tmp_path / "a").code == 0
    found = cli("eval", tmp_path / "a", "--queries", tmp_path / "b")
    assert found.code == 4 and "embedded by model" in found.err


def blobs(file: Path, spread: float, seed: int = 0, products: int = 24, images: int = 5) -> Path:
    """Embeddings around a point for each product, more or less spread; the same points for the same seed."""
    points = np.random.default_rng(7).normal(size=(products, 1, 8))
    noise = np.random.default_rng(seed).normal(size=(products, images, 8))
    labels = np.repeat([f"p{product}" for product in range(products)], images)
    np.savez(file, embeddings=(points + spread * noise).reshape(-1, 8), labels=labels)
    return file


def test_metrics_by_name(cli: Cli, tmp_path: Path) -> None:
    file = blobs(tmp_path / "e.npz", 0.8)
    report = scores(cli, file, "--metrics", "map,recall@2,mrr,NMI", names=["map", "recall@2", "mrr", "nmi"])
    assert all(0 < value < 1 for value in report["metrics"].values()) and report["interval95"]["nmi"] is None
    found = cli("eval", file, "--metrics", "recal@1")
    assert found.code == 2 and "unknown metric 'recal@1'" in found.err and "recall@K" in found.err


def test_every_metric_has_a_value(cli: Cli, tmp_path: Path) -> None:
    found = cli("eval", blobs(tmp_path / "e.npz", 0.8), "--metrics", "all", "--format", "json")
    metrics = json.loads(found.out)["metrics"]
    without = {name for name, value in metrics.items() if value is None}
    assert without == {"hit@category", "recall@1_within_category"}  # no categories here
    assert metrics["precision@1"] == metrics["recall@1"] and metrics["eer"] < 0.5 < metrics["auc"]


def test_a_difference_with_its_interval(cli: Cli, tmp_path: Path) -> None:
    better, worse = blobs(tmp_path / "a.npz", 0.5), blobs(tmp_path / "b.npz", 2.0)
    against = scores(cli, better, "--against", worse)["against"]
    low, high = against["interval95"]["map@r"]
    assert 0 < low <= against["difference"]["map@r"] <= high and against["significant"]["map@r"]
    assert "better, MAP@R +" in cli("eval", better, "--against", worse).out
    assert "worse, MAP@R -" in cli("eval", worse, "--against", better).out


def test_no_evidence_is_said(cli: Cli, tmp_path: Path) -> None:
    one, twin = blobs(tmp_path / "a.npz", 0.8, seed=1), blobs(tmp_path / "b.npz", 0.8, seed=2)
    found = cli("eval", one, "--against", twin)
    assert found.code == 0 and "no significant difference" in found.out
    low, high = scores(cli, one, "--against", twin)["against"]["interval95"]["map@r"]
    assert low <= 0 <= high


def test_another_model_sees_the_same_images(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    report = scores(cli, shop, "--model", plain_model, "--against", plain_model, "-w", tmp_path)
    assert set(report["against"]["difference"].values()) == {0.0} and not any(report["against"]["significant"].values())


def test_other_embeddings_must_hold_the_same_images(cli: Cli, tmp_path: Path) -> None:
    large, small = blobs(tmp_path / "a.npz", 0.8), blobs(tmp_path / "b.npz", 0.8, products=12)
    found = cli("eval", large, "--against", small)
    assert found.code == 4 and "lacks 60 of 120 images" in found.err
    assert cli("eval", large, "--against", tmp_path / "gone").code == 4


def test_a_score_too_low_stops_a_pipeline(cli: Cli, tmp_path: Path) -> None:
    file = blobs(tmp_path / "e.npz", 0.8)
    assert cli("eval", file, "--fail-under", "recall@1=0.01").code == 0
    found = cli("eval", file, "--fail-under", "recall@1=0.01", "--fail-under", "map=0.999")
    assert found.code == 1 and "below the minimum: map is 0." in found.err and "mAP" in found.out
    for wrong in ("recall@1", "recall@1=80", "recoil@1=0.8"):
        assert cli("eval", file, "--fail-under", wrong).code == 2


def test_missing_products_can_count_as_zero(cli: Cli, tmp_path: Path) -> None:
    gallery = npz(tmp_path / "g.npz", at(0, 40), "ab")
    asked = npz(tmp_path / "q.npz", at(1, 39, 2, 3), "abzz")
    report = scores(cli, gallery, "--queries", asked, "--count-missing-as-zero")
    assert report["metrics"]["recall@1"] == 0.5 and report["without_positive"] == 2 and report["missing_as_zero"]


def test_ties_that_decide_are_reported(cli: Cli, tmp_path: Path) -> None:
    """Half of the queries have a right and a wrong image at the same place: 0 or 1, as one likes."""
    file = npz(tmp_path / "e.npz", at(0, 0, 0, 50, 51, 52), "aabccc")
    found = cli("eval", file)
    assert "ties: " in found.err and "between 60.0 and 100.0 %" in found.err and "60.0 %" in found.out


def test_published_results_stand_beside_the_score(cli: Cli, tmp_path: Path) -> None:
    file = blobs(tmp_path / "e.npz", 0.8)
    found = cli("eval", file, "--published", "cub")
    assert "Proxy-Anchor" in found.out and "this one" in found.out and "Recall@8" in found.out
    assert "not comparable with published" in found.err and "5924 queries" in found.err
    names = ["recall@1", "recall@2", "recall@4", "recall@8", "map@r", "r_precision", *PRODUCTS]
    rows = scores(cli, file, "--published", "cub", names=names)["published"]
    assert all(row["source"] and row["mark"] in ("V", "M") and row["recall"]["recall@1"] < 1 for row in rows)


@pytest.mark.parametrize(
    ("format", "start"),
    [
        ("csv", "metric,score,low,high\nrecall@1,0."),
        ("markdown", "| metric | score | 95 % interval |\n|---|---:|---:|\n| Recall@1 | "),
        ("latex", "\\begin{tabular}{lrr}\n\\hline\nmetric & score & 95 \\% interval \\\\\n"),
    ],
)
def test_tables_for_documents(cli: Cli, tmp_path: Path, format: str, start: str) -> None:
    found = cli("eval", blobs(tmp_path / "e.npz", 0.8), "--format", format)
    assert found.code == 0 and found.out.startswith(start) and found.out.endswith("\n")


def test_a_dry_run_says_what_it_takes(cli: Cli, shop: Path, plain_model: Path) -> None:
    found = cli("eval", shop, "--model", plain_model, "--dry-run")
    assert found.code == 0 and "12 images" in found.out and "peak memory" in found.out and "leave-one-out" in found.out
    report = json.loads(cli("eval", shop, "--model", plain_model, "--dry-run", "--format", "json").out)
    assert (report["queries"], report["gallery"], report["to_embed"]) == (12, 12, 12) and report["peak_bytes"] > 0


def test_splits_are_found_without_being_named(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    table = shop / "photos.csv"
    rows = [f"product-{n // 3:02}/{n % 3}.png,p{n // 3},{'test' if n % 3 == 0 else 'train'}" for n in range(12)]
    table.write_text("\n".join(["image,product,split", *rows]))
    report = scores(cli, table, "--model", plain_model)
    assert (report["protocol"], report["scope"]) == ("query/gallery", "split test in split train")
    assert (report["queries"], report["gallery"]) == (4, 8)
    whole = scores(cli, table, "--model", plain_model, "--all")
    assert (whole["protocol"], whole["queries"]) == ("leave-one-out", 12)


def test_photos_of_the_own_camera_do_not_count(cli: Cli, shop: Path, plain_model: Path) -> None:
    table = shop / "photos.csv"
    rows = [f"product-{n // 3:02}/{n % 3}.png,p{n // 3},c{0 if n % 3 < 2 else 1}" for n in range(12)]
    table.write_text("\n".join(["image,product,camera", *rows]))
    report = scores(cli, table, "--model", plain_model, "--exclude-same", "camera")
    assert report["excluded"] == "its own row and same product and same source as the query"
    assert report["metrics"]["recall@1"] == 1 and report["without_positive"] == 0
    found = cli("eval", shop, "--model", plain_model, "--exclude-same", "session")
    assert found.code == 2 and "--source-column" in found.err


def test_the_same_report_again(cli: Cli, tmp_path: Path) -> None:
    """Fingerprints follow what was searched, versions say by what."""
    first, other = blobs(tmp_path / "a.npz", 0.8), blobs(tmp_path / "b.npz", 0.8, seed=1)
    report = scores(cli, first)
    assert report == scores(cli, first) and set(report["versions"]) == {"dmlcli", "python", "numpy"}
    assert report["fingerprints"] != scores(cli, other)["fingerprints"]
