"""--max-false-accepts without probabilities: unknown products are refused as often as promised."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import dmlcli
from dmlcli.embeddings import open_embeddings
from dmlcli.errors import CannotRun
from dmlcli.model import open_model
from dmlcli.search import rerank
from dmlcli.search.calibration import REFUSED, Training, calibrate
from tests.conftest import Cli, Mission
from tests.places import SHARED

GROCERY = SHARED / "data" / "grocery_images.csv"
WEIGHTS = SHARED / "weights" / "mobilenet_v2-tfimagenet-c6e13525.pth"


def catalog(seed: int, products: int = 240, images: int = 6, dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Products around shelves, images around products: some products look alike, some stand alone."""
    rng = np.random.default_rng(seed)
    shelves = rng.normal(size=(products // 8, dim))
    centers = shelves[rng.integers(0, len(shelves), products)] + 0.7 * rng.normal(size=(products, dim))
    rows = np.repeat(centers, images, axis=0) + 0.35 * rng.normal(size=(products * images, dim))
    names = np.repeat([f"product {number}" for number in range(products)], images)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32), names


def refused(vectors: np.ndarray, names: np.ndarray, left_out: np.ndarray, threshold: float) -> float:
    """Share of the images of left-out products that are further than the threshold from all others."""
    out = np.isin(names, left_out)
    return float(((vectors[out] @ vectors[~out].T).max(axis=1) < threshold).mean())


def test_unknown_products_are_refused_as_often_as_promised() -> None:
    """Whole products left out of everything, forty at a time; the promise is one of the mean."""
    shares = []
    for seed in range(4):
        vectors, names = catalog(seed)
        shuffled = np.random.default_rng(seed).permutation(np.unique(names))
        for fold in range(6):
            left_out = shuffled[fold::6]
            kept = ~np.isin(names, left_out)
            found = calibrate(vectors[kept].__getitem__, names[kept].tolist())
            shares.append(refused(vectors, names, left_out, found.threshold))
    assert abs(np.mean(shares) - REFUSED) < 0.02


def test_only_products_the_model_has_never_seen_are_asked_with() -> None:
    """Products that were trained on stand alone; unseen ones lie among the others, and the threshold must know."""
    vectors, names = catalog(0, products=100)
    trained = np.isin(names, np.unique(names)[:60])
    apart = np.concatenate([vectors, np.zeros((len(vectors), 60), np.float32)], axis=1)
    for row in np.flatnonzero(trained):
        apart[row] = 0
        apart[row, 16 + np.unique(names)[:60].tolist().index(names[row])] = 1
    seen = [str(name) for name in np.unique(names)[:60]]
    every, honest = (calibrate(apart.__getitem__, names.tolist(), report) for report in (None, Training(seen)))
    assert (every.basis, honest.basis, honest.products) == ("all", "unseen", 40)
    assert honest.threshold > every.threshold


def test_where_all_were_trained_on_cross_validation_decides() -> None:
    vectors, names = catalog(0, products=60)
    products = names.tolist()
    every = calibrate(vectors.__getitem__, products)
    trained = calibrate(vectors.__getitem__, products, Training(products))
    cross_validated = calibrate(vectors.__getitem__, products, Training(products, 0.99))
    assert (trained.basis, trained.threshold) == ("trained", every.threshold)
    assert (cross_validated.basis, cross_validated.threshold) == ("cross_validated", 0.99) and every.threshold < 0.99
    assert calibrate(vectors.__getitem__, products, Training(products, 0.1)).threshold == every.threshold
    a_few_new = calibrate(vectors.__getitem__, products, Training(np.unique(names)[:50].tolist(), 0.99))
    assert (a_few_new.basis, a_few_new.threshold) == ("cross_validated", 0.99)


def test_a_trained_model_says_how_close_new_products_come(workspace: Path, mission: Mission, cli: Cli) -> None:
    """All products of the index were trained on; its own images alone would promise too much."""
    scores = open_model(workspace / "model").record.scores
    open_set = scores["open_set"]
    asked = ["query", mission.images()[0], "--max-false-accepts", "5%", "-w", workspace, "--format", "jsonl"]
    found = cli(*asked)
    answer = json.loads(found.out)
    assert "held-out photos in cross-validation" in found.err and answer["min_score"] is None
    assert answer["match"] >= answer["min_match"] > 0 and answer["hits"][0]["confidence"] > 0.5
    forget(workspace, "answers")  # as with too few photos held out
    found = cli(*asked)
    assert found.code == 0 and "held out in the cross-validation of training" in found.err
    assert "keeps" not in found.err  # a share of photos that were trained on would promise too much
    kept = json.loads((workspace / "index" / "calibration.json").read_text())["calibration"]
    assert kept["kept"] is None
    assert kept["basis"] == "cross_validated" and kept["threshold"] == pytest.approx(open_set["threshold"], abs=1e-5)
    assert 0 < open_set["threshold"] < 1 and open_set["refused"] == REFUSED and open_set["folds"] >= 1
    forget(workspace, "open_set")  # as after --for seen
    found = cli(*asked)
    assert found.code == 0 and "warning: unseen products have higher scores" in found.err


def forget(workspace: Path, score: str) -> None:
    """Set a score in model.json to null."""
    record = json.loads((workspace / "model" / "model.json").read_text())
    record["scores"][score] = None
    (workspace / "model" / "model.json").write_text(json.dumps(record))
    shutil.rmtree(workspace / "models", ignore_errors=True)  # where the model would be found as it was


def test_products_may_be_unknown_and_few() -> None:
    vectors, names = catalog(1, products=30)
    anonymous = [name if number % 3 else "" for number, name in enumerate(names.tolist())]
    assert -1 < calibrate(vectors.__getitem__, anonymous).threshold < 1
    with pytest.raises(CannotRun, match="needs at least 5 usable products"):
        calibrate(vectors.__getitem__, [""] * len(vectors))


def test_blocks_and_samples_change_little() -> None:
    vectors, names = catalog(2, products=900)
    found = calibrate(vectors.__getitem__, names.tolist())
    assert found.images == 2000 and found.products == 900
    assert calibrate(vectors.__getitem__, names.tolist()) == found


@pytest.mark.slow
@pytest.mark.skipif(not GROCERY.exists(), reason="there are no grocery photos in ../shared")
def test_on_grocery_photos(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Photos of the test split of products held out of the index; and what each re-ranking gains there."""
    place = tmp_path_factory.mktemp("grocery")
    columns = {"product_column": "fine", "category_column": "coarse", "split_column": "source_split"}
    train = {"backbone": "mobilenet_v2", "weights": str(WEIGHTS), "tune": "none", "pooling": "avg", "no_index": True}
    dmlcli.train(GROCERY, workspace=place / "w", **columns, **train)
    dmlcli.embed(GROCERY, workspace=place / "w", output=place / "all", **columns)
    made = open_embeddings(Path(place / "all"))
    vectors, names = np.asarray(made.vectors), np.array(made.products)
    split = np.array([item.split for item in made.items])
    promise_is_kept(vectors, names, split)
    re_ranking_gains(vectors, names, split)


def promise_is_kept(vectors: np.ndarray, names: np.ndarray, split: np.ndarray) -> None:
    """Each of 81 products is held out once, nine at a time; photos and products are both counted."""
    shuffled = np.random.default_rng(0).permutation(np.unique(names))
    photos, products = [], []
    for fold in range(9):
        new = np.isin(names, shuffled[fold::9])
        gallery, asked = (split == "train") & ~new, (split == "test") & new
        found = calibrate(vectors[gallery].__getitem__, names[gallery].tolist())
        says_no = (vectors[asked] @ vectors[gallery].T).max(axis=1) < found.threshold
        photos += says_no.tolist()
        products += [says_no[names[asked] == product].mean() for product in shuffled[fold::9]]
    assert abs(np.mean(photos) - REFUSED) < 0.02 and abs(np.mean(products) - REFUSED) < 0.02


def re_ranking_gains(vectors: np.ndarray, names: np.ndarray, split: np.ndarray) -> None:
    from dmlcli.metrics import mean, score

    gallery, gallery_names = vectors[split == "train"], names[split == "train"]
    asked = np.random.default_rng(0).permutation(np.flatnonzero(split == "test"))[:300]
    values = {}
    for name in ("", *rerank.WAYS):
        ranks = []
        for row in asked:
            order = np.argsort(-(gallery @ vectors[row]), kind="stable")
            if name:
                way = rerank.parse(name)
                top = order[: way.depth]
                new = top[np.argsort(-way(vectors[row], gallery[top]), kind="stable")]
                order = np.concatenate([new, order[way.depth :]])
            ranks.append(np.flatnonzero(gallery_names[order] == names[row]) + 1)
        values[name] = mean(score(ranks)["map@r"]) or 0.0
    assert all(values[name] > values[""] + 0.02 for name in rerank.WAYS), values


def by_definition(vectors: np.ndarray, names: np.ndarray) -> tuple[float, float]:
    """The threshold, and the share of images that find another of their product at it, with plain loops."""
    similar = vectors @ vectors.T
    products = np.unique(names)
    best = {}  # by the product that is left out, "" for none
    for one in ("", *products):
        best[one] = np.array([similar[row][(names != own) & (names != one)].max() for row, own in enumerate(names)])
    for level in np.linspace(0.95, 1, 51):
        shares, refusals = [], []
        for one in products:  # left out of everything, the choice of the threshold too
            mine = names == one
            refusals.append(best[""][mine] < np.quantile(best[one][~mine], level))
            shares.append(refusals[-1].mean())
        if min(np.concatenate(refusals).mean(), np.mean(shares)) >= 0.96:  # 95 % are promised, 1 % is spare
            break
    threshold = float(np.quantile(best[""], level))
    np.fill_diagonal(similar, -1)
    own = [similar[row][names == name].max() for row, name in enumerate(names)]
    return threshold, float((np.array(own) >= threshold).mean())


@pytest.mark.parametrize("seed", range(4))
def test_threshold_and_kept_images_are_those_of_plain_loops(seed: int) -> None:
    vectors, names = catalog(seed, products=40, images=4)
    found = calibrate(vectors.__getitem__, names.tolist())
    threshold, kept = by_definition(vectors, names)
    assert found.threshold == pytest.approx(threshold, abs=1e-5) and found.kept == pytest.approx(kept, abs=1e-9)
    assert 0 < kept < 1
