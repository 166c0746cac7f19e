"""Who is searched among whom: named, found by split names, or everything; never silently what was trained on."""

import numpy as np
import pytest

from dmlcli.catalog import Item
from dmlcli.errors import UsageError
from dmlcli.evaluation.protocol import choose, exclusion


def items(text: str) -> list[Item]:
    """From `a/train b/test`, product and split of each image."""
    pairs = [word.partition("/") for word in text.split()]
    return [Item(f"{row}.jpg", product, split=split) for row, (product, _, split) in enumerate(pairs)]


def test_named_splits_win() -> None:
    found = choose(items("a/test b/train c/val"), "VAL", "train", set())
    assert (found.name, found.queries, found.gallery) == ("query/gallery", [2], [1])
    found = choose(items("a/test b/train a/test"), "test", "TEST", set())
    assert (found.name, found.scope, found.queries, found.gallery) == ("leave-one-out", "split test", [0, 2], [0, 2])
    with pytest.raises(UsageError, match="no image has split 'vall'"):
        choose(items("a/test b/train"), "vall", "train", set())


@pytest.mark.parametrize(
    ("catalog", "protocol", "queries", "gallery"),
    [
        ("a/query b/gallery a/gallery c/train", "query/gallery", [0], [1, 2]),
        ("a/test a/train b/test b/train", "query/gallery", [0, 2], [1, 3]),
        ("a/val a/train", "query/gallery", [0], [1]),
        ("a/test a/test b/train b/train", "leave-one-out", [0, 1], [0, 1]),  # new products: SOP, CUB, Cars
        ("a b a", "leave-one-out", [0, 1, 2], [0, 1, 2]),
    ],
)
def test_splits_are_found_by_their_names(catalog: str, protocol: str, queries: list[int], gallery: list[int]) -> None:
    found = choose(items(catalog), None, None, set())
    assert (found.name, found.queries, found.gallery) == (protocol, queries, gallery)


def test_products_that_were_trained_on_are_only_searched_in() -> None:
    catalog = items("a a b b c c")
    found = choose(catalog, None, None, {"a"})
    assert (found.queries, found.gallery, found.includes_training) == ([2, 3, 4, 5], [0, 1, 2, 3, 4, 5], False)
    assert "2 held-out products" in found.scope
    whole = choose(catalog, None, None, {"a"}, everything=True)
    assert (whole.queries, whole.includes_training) == ([0, 1, 2, 3, 4, 5], True)


def test_where_nothing_was_held_out_the_score_is_labeled() -> None:
    found = choose(items("a a b b c c"), None, None, {"a", "b"})
    assert (found.queries, found.includes_training) == ([0, 1, 2, 3, 4, 5], True)
    assert choose(items("a/train a/test"), "train", "test", {"a"}).includes_training
    assert not choose(items("a/train a/test"), "test", "train", {"a"}).includes_training


def test_what_a_query_may_not_find() -> None:
    asked = [Item("q", "a", source="s"), Item("r", "b", source="")]
    gallery_items = [Item("0", "a", source="s"), Item("1", "b", source="s"), Item("2", "a", source="t"), Item("3", "b")]
    camera, session = exclusion(asked, gallery_items, None, "camera"), exclusion(asked, gallery_items, None, "session")
    assert camera is not None and camera(0).tolist() == [0] and camera(1).tolist() == []
    assert session is not None and session(0).tolist() == [0, 1] and session(1).tolist() == []
    own = exclusion(gallery_items, gallery_items, np.arange(4), "camera")
    assert own is not None and own(1).tolist() == [1, 1] and own(3).tolist() == [3]
    with pytest.raises(UsageError, match="source"):
        exclusion([Item("q", "a")], gallery_items, None, "camera")
