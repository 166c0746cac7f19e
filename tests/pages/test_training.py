"""The page of a training run shows what it is given, whole, and escapes what comes from outside."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmlcli.catalog import open_catalog
from dmlcli.pages import training
from dmlcli.report.train import TrainReport
from tests.conftest import make_embeddings, make_shop

REPORT = TrainReport(
    run="20260101-000000",
    model="m",
    fingerprint="abc",
    images=12,
    products=4,
    validation="3 folds",
    frozen_score=0.5,
    score=0.625,
    chosen="epoch 2",
    seconds=3.0,
    index="i",
)
ROWS: list[dict[str, Any]] = [
    {"candidate": "LDA head", "map@r": 0.55},
    *(
        {
            "candidate": f"epoch {n}",
            "epoch": n,
            "loss": 5.0 - n,
            "learning_rate": 1e-3,
            "map@r": 0.5 + n / 16,
            "seen": 0.7,
            "unseen": 0.4,
            "active": 1.0,
        }
        for n in (1, 2)
    ),
]


@pytest.mark.parametrize("confused", [False, True])
def test_curves_map_and_confusions(tmp_path: Path, confused: bool) -> None:
    photos = open_catalog(make_shop(tmp_path / "shop"))
    names = [item.product for item in photos.items]
    vectors = [[names.index(name), 1, 0.01 * place] for place, name in enumerate(names)]
    if confused:
        vectors[3] = vectors[0]
    made = make_embeddings(vectors, names)
    training.write(tmp_path / "page.html", REPORT, ROWS, photos, replace(made, items=photos.items))
    text = (tmp_path / "page.html").read_text()
    assert "62.5 %" in text and "50.0 %" in text and "+12.5" in text and "Kept: epoch 2. Its MAP@R" in text
    assert text.count("<polyline") == 1 + 4 + 1 + 1 and "LDA head</text>" in text  # seen, unseen, both and the level
    assert text.count("<image href=") == 4 and "product-03: 3 photos" in text
    assert ("confused with each other" in text) is confused and ("None: the nearest" in text) is not confused
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text


def test_without_epochs_or_embeddings_it_says_so(tmp_path: Path) -> None:
    photos = open_catalog(make_shop(tmp_path / "shop"))
    training.write(tmp_path / "page.html", replace(REPORT, validation="<none>", score=None), ROWS[:1], photos, None)
    text = (tmp_path / "page.html").read_text()
    assert "No gradient step" in text and "--no-index" in text and "&lt;none&gt;" in text and "<none>" not in text


def test_epochs_without_a_score_are_left_out_of_its_chart(tmp_path: Path) -> None:
    """With a budget, perhaps only the last one has a score."""
    photos = open_catalog(make_shop(tmp_path / "shop"))
    unscored = {key: value for key, value in ROWS[1].items() if key not in ("seen", "unseen")} | {"map@r": None}
    training.write(tmp_path / "page.html", REPORT, [ROWS[0], unscored, ROWS[2]], photos, None)
    text = (tmp_path / "page.html").read_text()
    assert "MAP@R in validation, percent" in text
    training.write(tmp_path / "page.html", REPORT, [ROWS[0], unscored], photos, None)
    text = (tmp_path / "page.html").read_text()
    assert "MAP@R in validation, percent" not in text and "Learning rate" in text
