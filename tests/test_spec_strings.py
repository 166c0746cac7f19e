"""Words with settings are read in full, and what is wrong in them is answered with what would be right."""

import pytest

from dmlcli import spec_strings
from dmlcli.errors import UsageError
from dmlcli.learn.recipe import CLIPS, OPTIMIZERS, SCHEDULES, Recipe


def test_settings_come_over_the_defaults() -> None:
    found = spec_strings.parse("--schedule", "step:at=20,40,factor=0.5", SCHEDULES)
    assert (found.word, found.numbers("at"), found.number("factor"), found.number("ramp")) == ("step", (20, 40), 0.5, 0)
    assert spec_strings.parse("--optimizer", "adam:amsgrad=true", OPTIMIZERS).settings["amsgrad"] is True


def test_a_single_setting_needs_no_name() -> None:
    assert spec_strings.parse("--clip", "norm:3", CLIPS).number("max") == 3
    assert spec_strings.parse("--clip", "norm:max=3", CLIPS).number("max") == 3


@pytest.mark.parametrize(
    ("option", "text", "words", "named"),
    [
        ("--optimizer", "adamx", OPTIMIZERS, "did you mean adam"),
        ("--optimizer", "adam:esp=1", OPTIMIZERS, "did you mean eps"),
        ("--optimizer", "sgd:nesterov=2", OPTIMIZERS, "true or false"),
        ("--schedule", "step:every=ten", SCHEDULES, "a number from 0 up"),
        ("--schedule", "step:every=nan", SCHEDULES, "a number from 0 up"),
        ("--clip", "none:3", CLIPS, "none has no settings"),
        ("--clip", "value:-1", CLIPS, "a number from 0 up"),
    ],
)
def test_what_is_wrong_is_answered_with_what_is_right(
    option: str, text: str, words: spec_strings.Words, named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        spec_strings.parse(option, text, words)
    assert option in str(caught.value) and named in f"{caught.value} {caught.value.hint}"


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
