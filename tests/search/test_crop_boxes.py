"""Boxes lie around what differs from the rest; the part of a photo is searched with whose product is the surest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.errors import UsageError
from dmlcli.feature_maps import COARSE, EARLIER
from dmlcli.indexes.gallery import Found
from dmlcli.report.query import answer_json
from dmlcli.search import query_options
from dmlcli.search.crop_boxes import candidates, overlap
from dmlcli.search.crop_choice import Recognized, best, each
from dmlcli.search.cropping import Crop
from dmlcli.search.encoding import Encoded
from dmlcli.search.pooled_maps import Window
from dmlcli.search.query_engine import QueryEngine, QueryPlan
from dmlcli.search.query_inputs import QueryInput
from tests.search.test_query_engine import Shelf


def scene(side: int, *objects: tuple[int, int, int, int]) -> Any:
    """A map (8, side, side) of noise, in which each object (top, left, bottom, right) has a channel of its own."""
    grid = np.random.default_rng(0).normal(0, 0.1, (8, side, side)).astype(np.float32)
    for channel, (top, left, bottom, right) in enumerate(objects):
        grid[channel, top:bottom, left:right] += 1
    return grid


def test_the_best_box_is_the_object() -> None:
    (window,) = candidates([{EARLIER: scene(14, (3, 1, 11, 8))}], 1)
    assert window == pytest.approx((1 / 14, 3 / 14, 8 / 14, 11 / 14))


def test_a_mirrored_view_confirms_the_plain_one() -> None:
    grid = scene(14, (0, 5, 8, 13))
    (window,) = candidates([{EARLIER: grid}, {EARLIER: grid[:, :, ::-1]}], 1)
    assert window == pytest.approx((5 / 14, 0, 13 / 14, 8 / 14))


def test_two_objects_get_a_box_each() -> None:
    found = candidates([{EARLIER: scene(14, (0, 0, 7, 7), (7, 7, 14, 14))}], 2, apart=0.3)
    truth = Window(0, 0, 0.5, 0.5), Window(0.5, 0.5, 1, 1)
    assert all(max(overlap(one, own) for one in found) > 0.7 for own in truth)


def test_large_maps_are_searched_in_blocks() -> None:
    (window,) = candidates([{COARSE: scene(25, (8, 0, 22, 12))}], 1)
    assert overlap(window, Window(0, 9.5 / 28, 13.5 / 28, 23.5 / 28)) > 0.6


def test_the_overlap_of_boxes() -> None:
    assert overlap(Window(0, 0, 1, 1), Window(0, 0, 0.5, 1)) == pytest.approx(0.5)
    assert overlap(Window(0, 0, 0.5, 1), Window(0.5, 0, 1, 1)) == 0


def test_the_whole_photo_is_kept_unless_a_part_is_clearly_surer() -> None:
    assert best([Recognized("mug", 0.70), Recognized("cup", 0.71)], calibrated=False) == 0
    assert best([Recognized("mug", 0.70), Recognized("cup", 0.75)], calibrated=False) == 1
    assert best([Recognized(None, -np.inf), Recognized(None, -np.inf)], calibrated=True) == 0


def test_each_product_is_answered_once() -> None:
    found = [Recognized("mug", 0.5), *(Recognized(name, score) for name, score in (("cup", 0.8), ("cup", 0.9)))]
    assert each([*found, Recognized("jar", 0.6), Recognized("lid", 0.4)]) == [2, 3]


class TwoShelves(Shelf):
    """A vector with a larger first number is closer to all."""

    products = ("mug", "mug", "cup", "cup", "jar", "jar")

    def search(self, vectors: Any, k: int, *, among: Any = None) -> list[list[Found]]:
        (rows,) = super().search(vectors, k, among=among)
        return [[row._replace(score=row.score * float(vectors[0, 0])) for row in rows]]


def answers(mode: Any, *, parts: tuple[float, ...], fuse: bool = False) -> list[Any]:
    crops = tuple(Crop((0.0, 0.0, 10.0, place + 1.0), np.array([x, 0], np.float32)) for place, x in enumerate(parts))

    def encode(sources: Any) -> Any:
        return (Encoded(source, np.array([0.5, 0], np.float32), crops=crops) for source in sources)

    plan = QueryPlan(2, pool="max", crop=mode, fuse=fuse)
    query = QueryInput("q", Path("q.jpg"))
    shelf: Any = TwoShelves()
    return list(QueryEngine(shelf, shelf, plan, encode).answers([query], [], None))


def test_the_answer_of_the_best_part_says_which_it_is() -> None:
    (answer,) = answers("auto", parts=(0.4, 0.9))
    assert answer.crop == (0, 0, 10, 2)
    assert answer.hits[0].cosine == pytest.approx(0.81)
    assert answer_json(answer)["crop"] == [0, 0, 10, 2]
    (whole,) = answers("auto", parts=(0.4, 0.5))
    assert whole.crop is None
    assert answer_json(whole)["crop"] is None


def test_crop_each_gives_one_answer_for_each_product() -> None:
    (answer,) = answers("each", parts=(0.6, 0.9))  # both show a mug
    assert answer.crop == (0, 0, 10, 2)


def test_crop_each_and_fuse_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--crop each gives several answers"):
        query_options.read(crop="each", fuse=True)
    assert query_options.read(crop="auto").crop == "auto"
    assert query_options.read(crop="1,1,2,2").crop is None
