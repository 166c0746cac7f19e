"""Every error has an exit code and a place in the drawing, and a misspelt word is answered with the nearest."""

import pytest

from dmlcli import errors
from dmlcli.errors import CannotRun, DmlcliError, UsageError, nearest


def every(kind: type[DmlcliError]) -> list[type[DmlcliError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in every(below))]


def test_every_error_is_drawn_with_its_exit_code() -> None:
    lines = (errors.__doc__ or "").splitlines()
    for kind in every(DmlcliError):
        (line,) = [line for line in lines if kind.__name__ in line.split()]
        own = "exit_code" in vars(kind)
        assert (str(kind.exit_code) in line.split()) is own, kind.__name__


def test_exit_codes_are_those_of_the_contract() -> None:
    codes = {kind.exit_code for kind in every(CannotRun)}
    assert (UsageError.exit_code, codes, errors.Interrupted.exit_code, DmlcliError.exit_code) == (2, {4}, 130, 70)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("tripplet", "did you mean triplet?"), ("zzz", "known: proxy-anchor, triplet"), ("", "known")],
)
def test_a_misspelt_word_is_answered_with_the_nearest_or_all(word: str, hint: str) -> None:
    assert hint in nearest(word, ["proxy-anchor", "triplet"])
