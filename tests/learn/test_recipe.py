"""Recipes: the published ones hold together, files are checked, and what a run leaves repeats it."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest

import dmlcli
from dmlcli import options
from dmlcli.cli import app, global_options, help_panels
from dmlcli.commands.compare import compare
from dmlcli.commands.train import train
from dmlcli.errors import CannotRun, UsageError
from dmlcli.learn import losses, recipe, recipe_files
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.setting import Field, Setting, fields_of, format_value
from dmlcli.options.recipe import with_recipe
from dmlcli.options.spec import Argument


def test_every_setting_is_an_option_of_train_and_nothing_when_left_out() -> None:
    parameters = inspect.signature(train).parameters
    assert set(recipe.FIELDS) <= set(parameters)
    assert all(parameters[name].default is None for name in recipe.FIELDS)


def test_the_help_states_the_defaults_of_the_recipe() -> None:
    annotations = {name: parameter.annotation for name, parameter in inspect.signature(train).parameters.items()}
    for name, value in vars(Recipe()).items():
        (option,) = annotations[name].__metadata__
        assert value is None or f"[default: {format_value(value)}" in option.settings["help"], name


def test_help_in_python_explains_every_parameter() -> None:
    text = inspect.getdoc(dmlcli.train) or ""
    for name in inspect.signature(dmlcli.train).parameters:
        assert f"    {name}: " in text, name
    assert "Args:" not in dmlcli.train.summary


def test_every_setting_has_a_heading_of_the_help_and_range_and_choices_are_checked() -> None:
    for name, field in recipe.FIELDS.items():
        assert field.setting.group in help_panels.PANELS, name
        for wrong in (*(["none of them"] if field.setting.choices else []), *_outside(field)):
            with pytest.raises(UsageError, match=f"invalid (value for )?{field.option}"):
                Recipe(**{name: wrong}).check()  # type: ignore[arg-type]


def _outside(field: Field) -> list[float]:
    low, high = field.setting.min, field.setting.max
    limits = [*([low - 1] if low is not None else []), *([high + 1] if high is not None else [])]
    return limits if field.kind is not str else []


def test_a_new_field_is_an_option_with_help_and_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other file names it."""

    @dataclass(frozen=True)
    class Extended(Recipe):
        mixing: Annotated[str, Setting("Loss", "Mixing of images.", choices=("none", "half"))] = "none"

    extended = fields_of(Extended)
    monkeypatch.setattr("dmlcli.options.recipe.FIELDS", extended)

    @with_recipe()
    def command(**settings: Any) -> dict[str, Any]:
        return settings

    kind, option = get_args(inspect.signature(command).parameters["mixing"].annotation)
    assert kind == Literal["none", "half"] | None and option.panel == "Loss"
    assert option.settings["help"] == "Mixing of images.  [default: none]" and command(mixing="half") == {
        "mixing": "half"
    }
    with pytest.raises(UsageError, match="invalid value for --mixing: 'all'"):
        extended["mixing"].check("all")


def test_options_of_index_are_those_of_training() -> None:
    """Written twice, because `index --help` loads nothing of training."""
    pooling, weights = get_args(options.Pooling), get_args(options.Weights)
    assert get_args(get_args(pooling[0])[0]) == recipe.FIELDS["pooling"].setting.choices
    assert pooling[1].settings["help"] == recipe.FIELDS["pooling"].help
    assert weights[1].settings["help"] == recipe.FIELDS["weights"].help


def test_every_option_of_the_command_line_has_a_heading() -> None:
    for command in global_options.COMMANDS:
        for parameter in app._parameters(command):
            _, spelt = get_args(parameter.annotation)
            assert isinstance(spelt, Argument) or spelt.panel in help_panels.PANELS, parameter.name


@pytest.mark.parametrize("name", recipe_files.published())
def test_a_published_recipe_holds_together_and_gives_a_source_for_its_loss(name: str) -> None:
    found = recipe_files.resolve(name, {})
    assert found.tune == "all" and found.head != "identity" and found.augment != "light"
    assert found.tune == "all" and found.backbone == "resnet50" and found.patience == 0
    losses.build(found.loss, 4, 8)
    text = (Path(recipe_files.__file__).parent / "recipes" / f"{name}.toml").read_text()
    assert text.startswith("# ") and " 20" in text.split("\n")[0]


def test_published_settings_are_those_of_the_papers() -> None:
    """A second look at the table, by hand."""
    found = {name: recipe_files.resolve(name, {}) for name in recipe_files.published()}
    assert set(found) == {"proxy-anchor", "ms", "xbm", "proxynca-pp", "recall-at-k", "reid-baseline"}
    anchor = found["proxy-anchor"]
    assert (anchor.learning_rate, anchor.loss_factor, anchor.warmup, anchor.clip) == (1e-4, 100, 5, "value:10")
    assert (found["ms"].batch_size, found["ms"].images_per_product, found["ms"].learning_rate) == (80, 5, 3e-5)
    assert (found["xbm"].memory, found["xbm"].dim) == ("55000:start=1000", 128)
    nca = found["proxynca-pp"]
    assert nca.optimizer == "adam:eps=1" and nca.learning_rate * (nca.loss_factor or 0) == pytest.approx(400)
    assert (found["recall-at-k"].batch_size, found["recall-at-k"].chunk) == (4000, 200)
    assert (found["reid-baseline"].schedule, found["reid-baseline"].epochs) == ("step:at=40,70,factor=0.1,ramp=10", 120)


def test_what_is_asked_for_wins() -> None:
    found = recipe_files.resolve("ms", {"epochs": 3, "loss": "triplet"})
    assert (found.epochs, found.loss, found.batch_size) == (3, "triplet", 80)
    deep = recipe_files.resolve(None, {"tune": "all"})
    assert deep.batch_size == 64 and deep.stops_after == 0 and Recipe(tune="head").stops_after == 6
    assert Recipe(tune="all", patience=3).stops_after == 3
    assert recipe_files.resolve(None, {"tune": "all", "batch_size": 32}).batch_size == 32


def test_a_saved_recipe_is_read_back_as_it_was(tmp_path: Path) -> None:
    odd = Recipe(
        purpose="seen",
        loss='a"b',
        epochs=7,
        learning_rate=3e-5,
        ema=0.999,
        memory=None,
        weights="/tmp/ä.pth",
        patience=0,
    )
    (tmp_path / "recipe.toml").write_text(recipe_files.to_toml(odd))
    assert Recipe(**recipe_files.read(str(tmp_path / "recipe.toml"))) == odd
    assert 'for = "seen"\n' in (tmp_path / "recipe.toml").read_text()  # as typed


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epocs = 3", "did you mean epochs"),
        ("epochs = 3.5", "mine.toml: invalid value for --epochs: 3.5 (expected an integer)"),
        ("epochs = true", "invalid value for --epochs: True (expected an integer)"),
        ("learning-rate = 'fast'", "invalid value for --learning-rate: 'fast' (expected a number)"),
        ("epochs = -1", "invalid --epochs -1: must be at least 0"),
        ("tune = 'al'", "did you mean all"),
        ("ema = 1.0", "invalid --ema 1: must be below 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        recipe_files.resolve(str(tmp_path / "mine.toml"), {})
    assert named in f"{caught.value} {caught.value.hint}"


def test_numbers_and_dashes_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("learning-rate = 1\nbatch_size = 12\n")
    found = recipe_files.resolve(str(tmp_path / "mine.toml"), {})
    assert (found.learning_rate, type(found.learning_rate), found.batch_size) == (1.0, float, 12)


def test_a_recipe_that_is_not_there_or_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="recipe not found: 'proxi-anchor'") as caught:
        recipe_files.read("proxi-anchor")
    assert "proxy-anchor" in caught.value.hint
    (tmp_path / "photo.toml").write_bytes(b"\xff\xd8 no toml")
    with pytest.raises(CannotRun, match="cannot read the recipe"):
        recipe_files.read(str(tmp_path / "photo.toml"))


def test_differences_are_reported_as_options() -> None:
    now: Any = Recipe(epochs=3, ema=0.9)
    assert recipe.differences(now, Recipe()) == ["--epochs was 20, now 3", "--ema was None, now 0.9"]


def test_a_path_that_is_not_utf8_is_refused() -> None:
    """A file name of other bytes, as Python reads it; TOML is UTF-8."""
    with pytest.raises(UsageError, match=r"^--weights .* is not valid UTF-8"):
        recipe_files.resolve(None, {"weights": "w\udce9.pth"})


@pytest.mark.parametrize("unknown", [{"epocs": 3}, {"loss_": "triplet"}])
def test_a_parameter_that_does_not_exist_is_refused(unknown: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        train(tmp_path, **unknown)
    with pytest.raises(TypeError, match="unexpected keyword argument 'head'"):
        compare(tmp_path, head="mlp")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "many"}, "invalid value for --epochs: 'many' (expected an integer)"),
        ({"epochs": 2.5}, "invalid value for --epochs: 2.5 (expected an integer)"),
        ({"epochs": None}, "invalid value for --epochs: None (expected an integer)"),
        ({"tune": 3}, "invalid value for --tune: 3 (choose from none, head, top, all, auto)"),
        ({"backbone": 18}, "invalid value for --backbone: 18 (expected text)"),
        ({"learning_rate": float("nan")}, "invalid --learning-rate nan: must be a finite number"),
    ],
)
def test_a_value_of_another_type_is_refused(settings: dict[str, Any], message: str) -> None:
    Recipe(learning_rate=1, ema=None).check()
    with pytest.raises(UsageError) as caught:
        Recipe(**settings).check()
    assert str(caught.value) == message
