"""Two sides that name their products differently are distinguished from a search that finds nothing."""

import pytest

from dmlcli.errors import CatalogError
from dmlcli.evaluation.product_names import check_some_match


@pytest.mark.parametrize(
    ("query", "gallery", "difference"),
    [
        ("7", "00007", "leading zeros"),
        ("sku-7", "sku-0007", "leading zeros"),
        ("4717", "4717.0", "decimals"),
        ("Mug Red", "mug red", "upper and lower case"),
        (" mug", "mug", "spaces"),
        ("kitchen/mug", "mug", "folders"),
        ("mug_red", "Mug-Red", "separators"),
        ("4717", "SKU-4717", "a prefix"),
    ],
)
def test_a_likely_mend_is_named_with_a_name_of_each_side(query: str, gallery: str, difference: str) -> None:
    with pytest.raises(CatalogError, match="no product of the queries is in the gallery") as caught:
        check_some_match([query], ["another", gallery, "zebra"])
    assert f"the queries have '{query}', the gallery has '{gallery}'" in str(caught.value)
    assert difference in caught.value.hint


def test_other_names_altogether() -> None:
    with pytest.raises(
        CatalogError, match=r"the queries have 'mango', the gallery has 'SKU-1' \(1 and 2 prod"
    ) as caught:
        check_some_match(["mango", "mango"], ["SKU-1", "SKU-2"])
    assert "--product-column" in caught.value.hint


def test_one_common_product_is_enough() -> None:
    check_some_match(["7", "mug"], ["00007", "mug"])
