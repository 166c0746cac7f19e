"""Leave-one-out over series and copies is found out; honest catalogs are left in peace."""

import numpy as np
import pytest

from dmlcli.catalog import Item
from dmlcli.evaluation.measure import EvalSide, EvalSides, measure
from dmlcli.evaluation.min_scores import selection
from dmlcli.report.eval import Inflation
from tests.conftest import SAMPLE, make_embeddings
from tests.places import SHARED


def significant(vectors: object, items: list[Item]) -> Inflation | None:
    side = EvalSide(SAMPLE, items, make_embeddings(vectors, [item.product for item in items]).vectors)
    sides = EvalSides("leave-one-out", "all images", side, side, np.arange(len(items)))
    return measure(sides, selection(None), 0, False).inflation


def catalog(names: str, series: float, shots: int = 12, products: int = 12, seed: int = 0) -> tuple[object, list[Item]]:
    """Products in two series each: a point for the product, a step for the series, a little for each shot."""
    rng = np.random.default_rng(seed)
    vectors, items = [], []
    for product in range(products):
        point = rng.normal(size=16)
        for part in range(2):
            step = series * rng.normal(size=16)
            for shot in range(shots // 2):
                vectors.append(point + step + 0.3 * rng.normal(size=16))
                name = names.format(part="ab"[part], number=100 * part + shot, shot=shot)
                items.append(Item(f"p{product}/{name}", f"p{product}"))
    return np.array(vectors), items


def test_series_are_found_by_their_names() -> None:
    found = significant(*catalog("{part}_{shot}.jpg", series=1.5))
    assert found is not None and found.kind == "series"
    assert found.share > 0.9 and found.expected < 0.5 and found.without < found.recall_at_1 - 0.02


def test_names_alone_are_no_evidence() -> None:
    """Two groups of names that look alike: the closest right photo is of either as often as not."""
    assert significant(*catalog("{part}_{shot}.jpg", series=0.0)) is None


def test_the_next_number_is_found() -> None:
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.normal(size=(12, 30, 16)), axis=1)  # each shot close to the one before
    items = [Item(f"p{product}/{shot:03}.jpg", f"p{product}") for product in range(12) for shot in range(30)]
    found = significant(walks.reshape(-1, 16), items)
    assert found is not None and found.kind == "neighbor" and found.without < found.recall_at_1


def test_copies_are_found() -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(120, 8)), 2, axis=0)
    found = significant(rows, [Item(f"{row}{'ab'[row % 2]}.jpg", f"p{row // 4}") for row in range(240)])
    assert found is not None and found.kind == "copy" and found.share == 1 and found.without < 0.2


def test_all_alike_is_a_collapse_and_no_evidence_of_copies() -> None:
    assert significant(np.ones((120, 4)), [Item(f"{row}.jpg", f"p{row // 4}") for row in range(120)]) is None


@pytest.mark.slow
def test_the_sample_catalog_is_not_accused(plain_model: object) -> None:
    from dmlcli.catalog import open_catalog
    from dmlcli.encoder import Encoder
    from dmlcli.model import open_model

    photos = open_catalog(SAMPLE / "catalog")
    embeddings = Encoder(open_model(plain_model)).embed_catalog(photos, []).embeddings  # type: ignore[arg-type]
    assert significant(np.asarray(embeddings.vectors), embeddings.items) is None


@pytest.mark.slow
def test_the_grocery_photos_are_shot_in_series(plain_model: object) -> None:
    from dmlcli.catalog import Catalog, Columns, open_catalog
    from dmlcli.encoder import Encoder
    from dmlcli.model import open_model

    table = SHARED / "data" / "grocery_images.csv"
    if not table.exists():
        pytest.skip("the grocery photos are not here")
    photos = open_catalog(table, Columns(product="fine"))
    some = Catalog(photos.root, photos.items[::3])
    embeddings = Encoder(open_model(plain_model)).embed_catalog(some, []).embeddings  # type: ignore[arg-type]
    found = significant(np.asarray(embeddings.vectors), embeddings.items)
    assert found is not None and found.kind == "series" and found.without < found.recall_at_1 - 0.05
