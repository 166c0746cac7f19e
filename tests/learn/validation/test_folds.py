"""Folds hold out what both searches need, and never fit on it."""

from pathlib import Path

import pytest

from dmlcli.catalog import Catalog, Item, split_for_training
from dmlcli.errors import CatalogError
from dmlcli.learn.validation.folds import ValidationSplit, describe, half_split, validation_splits


def catalog(products: int, images: int, split: str = "", source: bool = False) -> list[Item]:
    return [
        Item(f"p{product:02}/{image}.jpg", f"p{product:02}", "", split, f"s{image % 2}" if source else "")
        for product in range(products)
        for image in range(images)
    ]


def made(items: list[Item], purpose: str = "both", seed: int = 0) -> list[ValidationSplit]:
    return validation_splits(items, split_for_training(Catalog(Path(), items)), purpose, seed)


def halves(items: list[Item], seed: int = 0) -> ValidationSplit:
    return half_split(items, split_for_training(Catalog(Path(), items)), seed)


def products(items: list[Item], rows: list[int]) -> set[str]:
    return {items[row].product for row in rows}


def test_unseen_products_are_not_fitted_on_and_seen_ones_are() -> None:
    items = catalog(24, 8)
    found = made(items)
    assert len(found) == 3
    for validation_split in found:
        fitted = products(items, validation_split.fit)
        unseen, seen = validation_split.searches["unseen"], validation_split.searches["seen"]
        assert (
            len(fitted) == 16
            and not fitted & products(items, unseen.gallery)
            and {*unseen.queries} <= {*unseen.gallery}
        )
        assert products(items, seen.queries) == fitted and seen.gallery == validation_split.fit
        assert not {*seen.queries} & {*validation_split.fit} and len(seen.queries) == 2 * 16
    held_out = [products(items, validation_split.searches["unseen"].gallery) for validation_split in found]
    assert len(set.union(*held_out)) == 24 == sum(map(len, held_out))


def test_the_images_of_a_split_val_are_what_judges() -> None:
    items = catalog(24, 6, "train") + catalog(24, 2, "val")
    for validation_split in made(items):
        for search in validation_split.searches.values():
            assert {items[row].split for row in search.queries} == {"val"}
            assert {items[row].split for row in search.gallery} == {"train"}
        assert {items[row].split for row in validation_split.fit} == {"train"}


def test_unseen_products_of_a_split_val_are_never_fitted_on() -> None:
    items = catalog(10, 4, "train") + [item._replace(product=f"unseen {item.product}") for item in catalog(5, 3, "val")]
    (validation_split,) = made(items)
    assert {items[row].split for row in validation_split.searches["unseen"].gallery} == {"val"}
    assert {items[row].split for row in split_for_training(Catalog(Path(), items)).fit} == {"train"}


def test_the_last_quarter_of_each_product_is_spared() -> None:
    items = catalog(8, 8)
    (found,) = made(items, "seen")
    assert {items[row].path.rpartition("/")[2] for row in found.searches["seen"].queries} == {"6.jpg", "7.jpg"}
    assert {items[row].path.rpartition("/")[2] for row in found.fit} == {f"{image}.jpg" for image in range(6)}


def test_what_was_held_out_is_fitted_on_in_the_end() -> None:
    items = catalog(20, 5)
    assert split_for_training(Catalog(Path(), items)).fit == list(range(100))


@pytest.mark.parametrize(
    ("purpose", "expected"), [("seen", {"seen"}), ("unseen", {"unseen"}), ("both", {"seen", "unseen"})]
)
def test_only_the_search_of_the_purpose_is_scored(purpose: str, expected: set[str]) -> None:
    for validation_split in made(catalog(24, 8), purpose):
        assert set(validation_split.searches) == expected


def test_of_several_sources_a_whole_one_asks() -> None:
    """In both searches: no photo that asks has one of its product and its source among those that are found."""
    items = catalog(24, 6, source=True)
    for validation_split in made(items):
        for search in validation_split.searches.values():
            among = {(items[row].product, items[row].source) for row in search.gallery}
            asking = {(items[row].product, items[row].source) for row in search.queries}
            assert not among & asking and {source for _, source in asking} == {"s0", "s1"}
        both = {items[row].product for row in validation_split.fit if items[row].source == "s0"}
        assert both & {
            items[row].product for row in validation_split.fit if items[row].source == "s1"
        }  # what varies is seen


def test_with_few_images_a_product_one_of_every_second_is_spared() -> None:
    items = catalog(24, 2)
    for validation_split in made(items):
        seen = validation_split.searches["seen"]
        assert len(seen.queries) == len(products(items, seen.queries)) == 8 and len(validation_split.fit) == 24


@pytest.mark.parametrize(("number", "images"), [(3, 3), (30, 1)])
def test_where_nothing_can_be_held_out_there_is_no_fold(number: int, images: int) -> None:
    found = made(catalog(number, images))
    assert found == [] and describe(found, []).startswith("none")


def test_a_large_search_takes_some_of_its_queries() -> None:
    (first, *_) = made(catalog(60, 40))
    assert all(200 <= len(search.queries) <= 400 for search in first.searches.values())


def test_halves_for_a_comparison_answer_both_questions() -> None:
    items = catalog(10, 8)
    validation_split = halves(items)
    fitted = products(items, validation_split.fit)
    assert len(fitted) == 5 and products(items, validation_split.searches["seen"].queries) == fitted
    assert products(items, validation_split.searches["unseen"].gallery) == products(items, list(range(80))) - fitted
    assert "5 seen products" in describe([validation_split], items) and "5 unseen products" in describe(
        [validation_split], items
    )


def test_half_of_the_products_in_split_val_are_searched_in_train() -> None:
    items = catalog(10, 4, "train") + catalog(10, 1, "val")
    unseen = halves(items).searches["unseen"]
    assert {items[row].split for row in unseen.queries} == {"val"} and len(unseen.queries) == 5
    assert {items[row].split for row in unseen.gallery} == {"train"}


def test_products_that_only_val_has_are_the_unseen_ones_of_a_comparison() -> None:
    items = catalog(10, 4, "train") + [item._replace(product=f"unseen {item.product}") for item in catalog(5, 3, "val")]
    found = halves(items)
    assert len(products(items, found.fit)) == 10
    assert products(items, found.searches["unseen"].queries) == {f"unseen p{number:02}" for number in range(5)}


def test_a_comparison_needs_four_products() -> None:
    items = catalog(4, 2)
    assert len(products(items, halves(items).searches["unseen"].queries)) == 2
    with pytest.raises(CatalogError, match="at least four products"):
        halves(catalog(3, 2))


def sessions(products: int) -> list[Item]:
    """Every session shows two products, so that their photos share a shelf and its light."""
    return [item._replace(source=f"s{int(item.product[1:]) // 2}") for item in catalog(products, 4)]


@pytest.mark.parametrize("seed", range(5))
def test_products_of_one_source_are_held_out_together(seed: int) -> None:
    items = sessions(26)
    found = [*made(items, seed=seed), halves(items, seed)]
    assert len(found) == 4
    for validation_split in found:
        fitted = {items[row].source for row in validation_split.fit}
        held_out = {items[row].source for row in validation_split.searches["unseen"].gallery}
        assert len(held_out) >= 4 and not fitted & held_out
    assert "both sides" not in describe(found, items)
    assert len(set.union(*(products(items, one.searches["unseen"].gallery) for one in found[:3]))) == 26


def test_sources_that_connect_all_products_are_ignored_and_the_summary_says_so() -> None:
    items = catalog(24, 6, source=True)  # two cameras
    found = made(items)
    assert [len(products(items, one.searches["unseen"].gallery)) for one in found] == [8, 8, 8]
    assert describe(found, items).endswith("; images of one source are on both sides")


def test_sources_of_one_product_each_change_nothing() -> None:
    plain = catalog(24, 6)
    sourced = [item._replace(source=item.product) for item in plain]
    held_out = [one.searches["unseen"].gallery for one in made(plain)]
    assert [one.searches["unseen"].gallery for one in made(sourced)] == held_out


def test_products_with_one_image_are_never_held_out() -> None:
    items = [*catalog(24, 4), *(Item(f"single{number}", f"single{number}") for number in range(30))]
    for validation_split in [*made(items), halves(items)]:
        assert products(items, validation_split.fit) >= {f"single{number}" for number in range(30)}


def test_only_products_with_several_images_count_as_held_out() -> None:
    """Each source shows a product with four photos and one with a single photo."""
    items = [
        Item(f"{source}/{kind}{image}", f"{kind}{source}", source=f"s{source}")
        for source in range(12)
        for kind, count in (("many", 4), ("one", 1))
        for image in range(count)
    ]
    for validation_split, number in [*((fold, 4) for fold in made(items)), (halves(items), 6)]:
        unseen = products(items, validation_split.searches["unseen"].gallery)
        assert sum(product.startswith("many") for product in unseen) == number
        fitted = {items[row].source for row in validation_split.fit}
        assert fitted.isdisjoint(item.source for item in items if item.product in unseen)


@pytest.mark.parametrize("seed", range(10))
def test_a_large_source_does_not_spoil_the_folds(seed: int) -> None:
    items = [item._replace(source="big" if item.product < "p08" else item.product) for item in catalog(16, 4)]
    found = made(items, seed=seed)
    assert [len(products(items, one.searches["unseen"].gallery)) for one in found] == [8, 4, 4]
    assert "both sides" not in describe(found, items)
