"""Words with settings are parsed in full, and what is invalid is answered with what is valid."""

import pytest

from dmlcli.errors import UsageError
from dmlcli.learn.recipe import Recipe
from dmlcli.spec_strings import WordSetting, declare, parse

NAMES = {
    "step": (*declare(every=0.0, at=(), factor=0.1),),
    "norm": declare(max=1.0),
    "none": (),
    "adam": declare(eps=1e-8, amsgrad=False),
    "aqe": (WordSetting("k", ("int",), 5, least=1, most=100), WordSetting("mode", ("None", "hard", "soft"), None)),
}


def test_what_is_given_replaces_the_defaults() -> None:
    found = parse("--schedule", "step:at=20,40,factor=0.5", NAMES)
    assert (found.word, found.numbers("at"), found.number("factor"), found.number("every")) == (
        "step",
        (20, 40),
        0.5,
        0,
    )
    assert found.given == {"at": (20, 40), "factor": 0.5}
    assert parse("--optimizer", "adam:amsgrad=true", NAMES).flag("amsgrad") is True
    assert parse("--optimizer", "adam", NAMES).flag("amsgrad") is False


def test_a_single_setting_needs_no_name() -> None:
    assert parse("--clip", "norm:3", NAMES).number("max") == parse("--clip", "norm:max=3", NAMES).number("max") == 3


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("adma", "invalid value for --x: 'adma' (choose from step, norm, none, adam, aqe)", "did you mean adam"),
        ("adam:esp=1", "adam has no setting 'esp'", "did you mean eps"),
        ("adam:", "adam has no setting ''", "known: eps, amsgrad"),
        ("adam:eps", "adam has no setting 'eps'", "eps"),
        ("adam:amsgrad=2", "adam:amsgrad=2 (expected true or false)", "--x adam:amsgrad=false"),
        ("step:every=ten", "step:every=ten (expected a number of at least 0)", "--x step:every=0"),
        ("step:every=nan", "a number of at least 0", "--x step"),
        ("step:at=1,x", "expected numbers separated by commas of at least 0", "--x step:at=20,40"),
        ("step:every=10,every=20", "step:every is given twice", "remove one every="),
        ("step:at=1,2,every=3,at=4", "step:at is given twice", "remove one at="),
        ("none:3", "none has no setting '3'", "none has no settings"),
        ("norm:-1", "norm:max=-1 (expected a number of at least 0)", "--x norm:max=1"),
        ("aqe:k=0", "aqe:k=0 (expected an integer from 1 to 100)", "--x aqe:k=5"),
        ("aqe:k=101", "from 1 to 100", "--x aqe:k=5"),
        ("aqe:k=1.5", "expected an integer", "--x aqe:k=5"),
        ("aqe:mode=odd", "expected none, hard or soft", "--x aqe:mode=none"),
        ("", "invalid value for --x: ''", "known: step"),
    ],
)
def test_what_is_invalid_is_named_with_what_would_be_right(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("--x", text, NAMES)
    assert message in str(caught.value) and hint in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (Recipe(optimizer="adma"), "--optimizer"),
        (Recipe(clip="norm:x"), "--clip"),
        (Recipe(schedule="step"), "needs every or at"),
        (Recipe(chunk=32, accumulate=2), "cannot be used with --accumulate"),
        (Recipe(chunk=32, batch_norm="free"), "cannot be used with --batch-norm free"),
    ],
)
def test_a_recipe_is_checked_before_anything_is_read(wrong: Recipe, named: str) -> None:
    Recipe().check()
    with pytest.raises(UsageError, match=named):
        wrong.check()
