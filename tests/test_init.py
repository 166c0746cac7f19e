"""The Python API: one thing or several, by path or in memory, and never the letters of a string."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dmlcli
from dmlcli.errors import UsageError
from tests.conftest import make_shop


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plain_model: Path) -> Path:
    """A folder with a shop and a workspace `w`, in which the tests run."""
    folder = tmp_path_factory.mktemp("api")
    make_shop(folder / "shop", 4, 3)
    dmlcli.index(str(folder / "shop"), model=plain_model, workspace=folder / "w")
    return folder


@pytest.fixture(autouse=True)
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


PHOTO = "shop/product-02/1.png"


def products(*images: Any, **options: Any) -> list[tuple[str, str]]:
    report = dmlcli.query(*images, top_k=1, workspace="w", **options)
    return [(answer.query, answer.hits[0].product) for answer in report.answers]


def test_a_photo_may_be_given_in_any_form() -> None:
    for name in (PHOTO, Path(PHOTO), [PHOTO]):
        assert products(name) == [(PHOTO, "product-02")]
    with Image.open(PHOTO) as image, Path(PHOTO).open("rb") as stream:
        for form in (Path(PHOTO).read_bytes(), image, np.asarray(image), stream):
            assert products(form) == [("image", "product-02")]
        several = (one for one in (image, "shop/product-01/0.png", np.asarray(image)))
        assert [product for _, product in products(several)] == ["product-02", "product-01", "product-02"]


def test_several_photos_are_skipped_one_by_one() -> None:
    report = dmlcli.query([PHOTO, "missing.jpg", b"no image", PHOTO], top_k=1, workspace="w")
    assert [answer.query for answer in report.answers] == [PHOTO, PHOTO]
    assert [skipped.path for skipped in report.skipped] == ["missing.jpg", "image[2]"]


@pytest.mark.parametrize("images", [[], ()])
def test_no_photo_is_no_query(images: Any) -> None:
    with pytest.raises(UsageError, match="no query is given"):
        dmlcli.query(images, workspace="w")


def test_names_are_one_or_several() -> None:
    assert products(like="product-03") == products(like=["product-03"]) == [("product-03", "product-03")]
    without = products(PHOTO, minus="product-02")
    assert without == products(PHOTO, minus=["product-02"]) and without[0][1] != "product-02"
    np.save("v.npy", np.eye(1, 2081, dtype=np.float32))
    vector = np.load("v.npy")[0]
    assert len({str([product for _, product in products(vector=v)]) for v in ("v.npy", Path("v.npy"), vector)}) == 1
    assert len(products(vector=[vector, "v.npy"])) == 2


def test_the_other_functions_take_one_name_too(plain_model: Path) -> None:
    made = dmlcli.embed("shop", model=plain_model, workspace="w", output="all.npz")
    assert made.images == dmlcli.embed(["shop"], model=plain_model, workspace="w", output="all.npz").images == 12
    assert dmlcli.embed([PHOTO, Path(PHOTO)], model=plain_model, workspace="w", output="two.npz").images == 2
    wrong: Any
    for wrong in (b"shop", [b"shop"], 5):
        with pytest.raises(TypeError, match="catalog: expected str"):
            dmlcli.embed(wrong, model=plain_model, workspace="w", output="all.npz")
    one = dmlcli.eval("all.npz", rerank="aqe", fail_under="recall@1=0.1", metrics="recall@1")
    several = dmlcli.eval("all.npz", rerank=["aqe"], fail_under=["recall@1=0.1"], metrics=["recall@1"])
    assert one.metrics == several.metrics
    with pytest.raises(UsageError, match="'recall@1'"):
        dmlcli.eval("all.npz", fail_under="recall@1")
    with pytest.raises(UsageError, match="no-such"):
        dmlcli.compare("shop", losses=["softmax", "no-such"], workspace=os.fspath(Path("w")))
    assert dmlcli.doctor("shop").catalog == "shop"
