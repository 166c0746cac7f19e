"""One name or several, and never the letters of one."""

from pathlib import Path
from typing import Any

import pytest

from dmlcli.arguments import names


@pytest.mark.parametrize("one", ["a.jpg", Path("a.jpg")])
def test_one_and_several_names(one: str | Path) -> None:
    assert names(one, "x") == names([one], "x") == names((each for each in [one]), "x") == ["a.jpg"]
    assert names({"a": 1, "b": 2}, "x") == ["a", "b"] and names(None, "x") == names([], "x") == []


@pytest.mark.parametrize("wrong", [5, b"a.jpg", [5], ["a", None], [["a"]], 0.5])
def test_what_is_not_a_name_is_an_error_that_names_the_parameter(wrong: Any) -> None:
    with pytest.raises(TypeError, match="like: expected str"):
        names(wrong, "like")
