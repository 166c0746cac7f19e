"""How much each photo counts, and what a catalog's shape asks of batches."""

from collections import Counter

import pytest

from dmlcli.catalog import Item
from dmlcli.learn.data.class_balance import describe, images_per_product, repeats, sampler, weights


def items(counts: dict[str, int], source: str = "") -> list[Item]:
    return [
        Item(f"{source}{product}/{number}.jpg", product, source=source)
        for product, count in counts.items()
        for number in range(count)
    ]


def test_a_product_counts_as_the_root_of_its_images() -> None:
    found = weights([0] * 4 + [1] * 16, [""] * 20)
    assert sum(found[:4]) == pytest.approx(2) and sum(found[4:]) == pytest.approx(4)
    assert len(set(found[:4])) == 1


def test_the_sources_of_a_product_count_alike() -> None:
    found = weights([0] * 9 + [1] * 4, ["studio"] + ["phone"] * 8 + ["phone"] * 4)
    assert found[0] == pytest.approx(sum(found[1:9])) == pytest.approx(1.5)
    assert sum(found[9:]) == pytest.approx(2)  # one source alone is all of it


def test_rare_images_are_repeated_and_none_is_left_out() -> None:
    found = repeats([0] * 36 + [1] * 36 + [2] * 4, [""] * 76)
    assert found[:72] == [1.0] * 72 and found[72:] == pytest.approx([3.0] * 4)


@pytest.mark.parametrize(
    ("needed", "counts", "drawn"),
    [("random", (20, 20, 10), "random"), ("random", (20, 20, 2), "balanced"), ("pk", (20, 20, 2), "pk")],
)
def test_batches_are_balanced_where_the_catalog_is_not(needed: str, counts: tuple[int, ...], drawn: str) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    assert sampler(needed, labels, [""] * len(labels)) == drawn


@pytest.mark.parametrize(("images", "expected"), [(1, 2), (2, 2), (3, 3), (4, 4), (50, 4)])
def test_batches_take_as_many_of_a_product_as_most_have(images: int, expected: int) -> None:
    labels = list(Counter(dict.fromkeys(range(5), images)).elements())
    assert images_per_product([*labels, *[5] * 90]) == expected


def test_what_is_unusual_is_reported_with_what_follows() -> None:
    few, uneven = items(dict.fromkeys("abcd", 2)), items({"a": 2, "b": 30, "c": 30, "d": 30})
    assert describe(items(dict.fromkeys("abcd", 8)), None) == describe([Item("a.jpg", "")], None) == []
    assert [report.split(":")[0] for report in describe(few, None)] == ["few images of most products"]
    assert describe(few, 4) == []
    assert [report.split(":")[0] for report in describe(uneven, None)] == ["2 to 30 images of a product"]
    (one,) = describe(items(dict.fromkeys("abcd", 1)), None)
    assert one.startswith("one image of each product")
    (crossed,) = describe([*items(dict.fromkeys("abcd", 8), "phone"), *items({"a": 4, "b": 4}, "studio")], None)
    assert crossed.startswith("2 of 4 products have photos of several sources")
