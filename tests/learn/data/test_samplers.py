"""An epoch shows every image at least once, and every batch is as its sampler promises."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmlcli.learn.data.samplers import SAMPLERS, batches
from dmlcli.learn.losses import SAMPLERS as NEEDED

many = st.lists(st.integers(0, 7), min_size=2, max_size=60)


def test_what_losses_need_can_be_drawn() -> None:
    assert set(NEEDED) <= set(SAMPLERS)


@given(many, st.sampled_from(SAMPLERS), st.integers(2, 32), st.integers(0, 9))
def test_every_image_is_shown_and_none_twice_in_a_batch(labels: list[int], kind: str, size: int, seed: int) -> None:
    drawn = list(batches(kind, labels, size, seed))
    assert {row for batch in drawn for row in batch} == set(range(len(labels)))
    assert all(len(set(batch)) == len(batch) for batch in drawn)
    assert drawn == list(batches(kind, labels, size, seed))


def test_balanced_batches_repeat_what_is_rare_all_over_the_epoch() -> None:
    labels = [0] * 100 + [1] * 100 + [2] * 4  # the last are to be shown 5 times each
    order = [row for (row,) in batches("balanced", labels, 1, 0)]
    for row in range(200, 204):
        shares = [place / len(order) for place, shown in enumerate(order) if shown == row]
        assert len(shares) == 5
        assert all(fifth / 5 - 0.1 < share < (fifth + 1) / 5 + 0.1 for fifth, share in enumerate(shares)), shares
    drawn = list(batches("balanced", labels, 20, 0))
    counts = Counter(row for batch in drawn for row in batch)
    parts = [{*order[start : start + 20]} for start in range(0, len(order), 20)]
    assert len(order) == 220 and counts == Counter(row for part in parts for row in part)


def test_rare_images_are_repeated_exactly_as_often_as_they_should_be() -> None:
    """Batches of one image, in which no repeat falls together with another."""
    labels = [0] * 100 + [1] * 100 + [2] * 4
    counts = Counter(row for (row,) in batches("balanced", labels, 1, 0))
    assert {counts[row] for row in range(200)} == {1} and {counts[row] for row in range(200, 204)} == {5}


def test_a_fraction_of_a_repeat_is_a_chance_of_one_more() -> None:
    labels = [0] * 100 + [1] * 100 + [2] * 16  # the last are to be shown 2.5 times each: root of 100 over root of 16
    drawn = [Counter(row for (row,) in batches("balanced", labels, 1, seed)) for seed in range(40)]
    shown = [counts[row] for counts in drawn for row in range(200, 216)]
    assert {*shown} == {2, 3} and sum(shown) / len(shown) == pytest.approx(2.5, abs=0.08)
    assert {counts[row] for counts in drawn for row in range(200)} == {1}


def test_the_last_balanced_batch_is_no_rest() -> None:
    labels = [0] * 10 + [1] * 11  # 21 rows, of which each is shown once
    assert [len(batch) for batch in batches("balanced", labels, 20, 0)] == [20, 20]


def test_images_by_label_are_of_all_sources() -> None:
    labels, sources = [0] * 12 + [1] * 12, (["studio"] * 6 + ["phone"] * 6) * 2
    for batch in batches("pk", labels, 8, 0, sources=sources):
        met = Counter((labels[row], sources[row]) for row in batch)
        assert met == {(label, source): 2 for label in (0, 1) for source in ("studio", "phone")}


@given(many, st.integers(2, 32))
def test_random_batches_are_full(labels: list[int], size: int) -> None:
    assert {len(batch) for batch in batches("random", labels, size, 0)} == {min(size, len(labels))}


@given(many, st.sampled_from([("pk", 4), ("n-pair", 2)]), st.integers(4, 32))
def test_batches_by_label_hold_k_of_each_or_all_there_are(labels: list[int], kind: tuple[str, int], size: int) -> None:
    name, each = kind
    have = Counter(labels)
    places = min(max(2, size // each), len(have))
    for batch in batches(name, labels, size, 0):
        counts = Counter(labels[row] for row in batch)
        assert len(counts) == places
        assert all(count == min(each, have[label]) for label, count in counts.items())


@pytest.mark.parametrize("kind", SAMPLERS)
def test_another_seed_is_another_order(kind: str) -> None:
    labels = [row % 10 for row in range(60)]
    assert list(batches(kind, labels, 20, 1)) != list(batches(kind, labels, 20, 2))


def test_categories_of_one_label_are_pooled_so_that_every_batch_has_negatives() -> None:
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    categories = ["a", "a", "b", "b", "c", "c", "c", "c"]
    drawn = list(batches("category-pk", labels, 4, 0, per_label=2, categories=categories))
    assert all(len({labels[row] for row in batch}) > 1 for batch in drawn)
    assert {row for batch in drawn for row in batch} == set(range(8))
