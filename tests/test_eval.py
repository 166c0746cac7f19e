"""eval scores a search as the definitions say, in both protocols, and says what the numbers rest on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SAMPLE, Cli, Mission

METRICS = ["recall@1", "recall@5", "recall@10", "map@r", "r_precision"]
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
]


def npz(file: Path, vectors: Any, labels: str) -> Path:
    np.savez(file, embeddings=np.asarray(vectors, dtype=float), labels=np.array(list(labels)))
    return file


def at(*degrees: float) -> Any:
    """Unit vectors in the plane: what is closer in angle ranks higher."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def scores(cli: Cli, *arguments: object) -> dict[str, Any]:
    found = cli("eval", *arguments, "--format", "json")
    assert found.code == 0, found.err
    told: dict[str, Any] = json.loads(found.out)
    assert list(told) == KEYS and list(told["metrics"]) == list(told["interval95"]) == METRICS
    return told


def test_the_worked_example_of_the_definitions(cli: Cli, tmp_path: Path) -> None:
    """Relevance 1,0,1,0,0,1 with R = 3."""
    gallery = npz(tmp_path / "g.npz", at(1, 2, 3, 4, 5, 6), "abacba")
    told = scores(cli, gallery, "--queries", npz(tmp_path / "q.npz", at(0), "a"))
    assert (told["protocol"], told["queries"], told["gallery"]) == ("query/gallery", 1, 6)
    assert told["metrics"]["recall@1"] == 1
    assert told["metrics"]["r_precision"] == pytest.approx(2 / 3)
    assert told["metrics"]["map@r"] == pytest.approx((1 + 2 / 3) / 3, abs=1e-6)


def test_the_second_worked_example(cli: Cli, tmp_path: Path) -> None:
    """Relevance 0,1,1 with R = 2."""
    gallery = npz(tmp_path / "g.npz", at(1, 2, 3), "baa")
    found = scores(cli, gallery, "--queries", npz(tmp_path / "q.npz", at(0), "a"))["metrics"]
    assert (found["recall@1"], found["r_precision"], found["map@r"]) == (0, 0.5, 0.25)


def test_leave_one_out_leaves_out_the_own_row_alone(cli: Cli, tmp_path: Path) -> None:
    told = scores(cli, npz(tmp_path / "e.npz", at(0, 0, 50, 51, 90), "aabbc"))
    assert (told["protocol"], told["queries"], told["gallery"]) == ("leave-one-out", 5, 5)
    assert told["without_positive"] == 1 and told["metrics"]["recall@1"] == 1


def test_all_equal_embeddings_score_zero(cli: Cli, tmp_path: Path) -> None:
    metrics = scores(cli, npz(tmp_path / "e.npz", np.ones((20, 4)), "aaaaabbbbbcccccddddd"))["metrics"]
    assert metrics["recall@1"] == metrics["map@r"] == metrics["r_precision"] == metrics["recall@10"] == 0


def test_a_collapse_is_told(cli: Cli, tmp_path: Path) -> None:
    """Ties counted for and against the search differ: whoever sees 0 must learn why."""
    found = cli("eval", npz(tmp_path / "e.npz", np.ones((8, 4)), "aaaabbbb"))
    assert "warning" in found.err


def test_queries_without_positive_are_counted_and_left_out(cli: Cli, tmp_path: Path) -> None:
    gallery = npz(tmp_path / "g.npz", at(0, 40), "ab")
    told = scores(cli, gallery, "--queries", npz(tmp_path / "q.npz", at(1, 39, 2), "abz"))
    assert (told["queries"], told["without_positive"], told["metrics"]["recall@1"]) == (3, 1, 1)
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


def test_an_embedding_that_is_no_number_is_told(cli: Cli, tmp_path: Path) -> None:
    found = cli("eval", npz(tmp_path / "bad.npz", [[1, np.nan], [0, 1]], "aa"))
    assert found.code == 4 and "bad.npz" in found.err and "finite" in found.err


def test_intervals_hold_the_score_and_repeat_with_the_seed(cli: Cli, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    file = npz(tmp_path / "e.npz", chance.normal(size=(60, 5)), "abcdefghij" * 6)
    told = scores(cli, file, "--seed", 3)
    for name in METRICS:
        low, high = told["interval95"][name]
        assert 0 <= low <= told["metrics"][name] <= high <= 1
    assert scores(cli, file, "--seed", 3) == told != scores(cli, file, "--seed", 4)


def test_the_trained_catalogue_repeats_the_caution(mission: Mission, cli: Cli) -> None:
    found = cli("eval", "-w", mission.workspace)
    assert found.code == 0 and "leave-one-out: 100 queries of 20 products among 100 images" in found.out
    assert "Recall@1" in found.out and "MAP@R" in found.out and "95 % interval" in found.out
    assert found.err.count("the built-in descriptor stands in") == 1
    assert "the model was trained on 16 of these products" in found.err
    told = scores(cli, "-w", mission.workspace)
    assert "stands in" in told["caution"] and told["trained_products"] == 16
    assert told["metrics"]["recall@1"] > 0.6


def test_queries_of_another_catalogue(workspace: Path, mission: Mission, cli: Cli) -> None:
    """And a second time nothing is embedded again: the answer is the same and its files are not rewritten."""
    arguments = (mission.catalog, "--queries", SAMPLE / "queries", "-w", workspace)
    told = scores(cli, *arguments)
    assert (told["protocol"], told["queries"], told["gallery"]) == ("query/gallery", 108, 100)
    assert told["without_positive"] == 108 - 40
    before = (workspace / "evaluated" / "queries" / "vectors.npy").stat().st_mtime_ns
    assert scores(cli, *arguments) == told
    assert (workspace / "evaluated" / "queries" / "vectors.npy").stat().st_mtime_ns == before


def test_splits_of_a_table_are_queries_and_gallery(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    table = shop / "photos.csv"
    rows = [f"product-{n // 3:02}/{n % 3}.png,p{n // 3},{'test' if n % 3 == 0 else 'train'}" for n in range(12)]
    table.write_text("\n".join(["image,product,split", *rows]))
    told = scores(
        cli, table, "--query-split", "test", "--gallery-split", "train", "--model", plain_model, "-w", tmp_path
    )
    assert (told["queries"], told["gallery"], told["metrics"]["recall@1"]) == (4, 8, 1)
    found = cli("eval", table, "--query-split", "test", "--gallery-split", "trian", "--model", plain_model)
    assert found.code == 2 and "train" in found.err


def test_unreadable_images_are_listed_and_exit_3(cli: Cli, shop: Path, plain_model: Path) -> None:
    (shop / "product-00" / "cut.jpg").write_bytes(b"<html>")
    found = cli("eval", shop, "--model", plain_model)
    assert found.code == 3 and "cut.jpg" in found.err and "12 queries" in found.out


def test_embeddings_of_two_models_are_not_compared(cli: Cli, shop: Path, tmp_path: Path) -> None:
    for seed, name in ((0, "a"), (1, "b")):
        common = ("-w", tmp_path / name, "--backbone", "squeezenet1_1", "--weights", "none", "--seed", seed)
        assert cli("train", shop, "--tune", "none", *common).code == 0
    found = cli("eval", tmp_path / "a" / "embeddings", "--queries", tmp_path / "b" / "embeddings")
    assert found.code == 4 and "embedded by model" in found.err
