"""The search space: around the recipe, only what is not fixed, and only what losses accept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dmlcli.errors import UsageError
from dmlcli.learn import losses
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.sweep.space import LOSSES, Space, split_specs

POOLINGS = ("two-maps", "avg+max", "avg")


class Ends:
    """Draws the lowest or the highest of everything, and remembers it."""

    def __init__(self, up: bool, **fixed: Any) -> None:
        self.up, self.fixed = up, fixed
        self.drawn: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._keep(name, choices[-1 if self.up else 0])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        assert low < high and log
        return float(self._keep(name, high if self.up else low))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int:
        assert low < high
        return int(self._keep(name, high if self.up else low))

    def _keep(self, name: str, value: Any) -> Any:
        self.drawn[name] = self.fixed.get(name, value)
        return self.drawn[name]


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("name", [name for name in losses.names() if losses.describe(name).family != "regularizer"])
def test_the_ends_of_every_range_make_a_recipe_whose_loss_accepts_each_setting(name: str, up: bool) -> None:
    space, trial = Space(Recipe(loss=name), (name,), poolings=POOLINGS), Ends(up)
    recipe = space.draw(trial)
    recipe.check()
    (term,) = losses.parse(recipe.loss)
    for setting, value in term.settings.items():  # each alone: together some exclude each other
        losses.build([replace(term, settings={setting: value})], 5, 6)
    assert {setting.partition(":")[2] for setting in trial.drawn if ":" in setting} >= {*term.settings}


def test_the_defaults_make_the_recipe_itself() -> None:
    base = Recipe(learning_rate=0.00123456, pooling=None)
    space = Space(base, LOSSES, poolings=POOLINGS)
    defaults = space.defaults()
    recipe = space.draw(Ends(False, **defaults))
    assert recipe == replace(base, learning_rate=0.00123)  # three digits are enough for others
    assert defaults["loss"] == "proxy-anchor" and defaults["pooling"] == "two-maps" and defaults["loss_factor"] == 1


def test_what_is_fixed_is_not_drawn() -> None:
    fixed = frozenset({"learning_rate", "dim", "head", "sampler", "pooling", "batch_size", "loss_factor"})
    trial = Ends(True)
    recipe = Space(Recipe(dim=64), ("triplet:margin=0.3",), fixed, POOLINGS).draw(trial)
    assert not fixed & trial.drawn.keys() and "loss" not in trial.drawn and "triplet:margin" not in trial.drawn
    assert recipe.dim == 64 and recipe.loss.startswith("triplet:margin=0.3,mining=")
    assert Space(Recipe(dim=64), ("triplet",), fixed).largest_dim == 64
    assert Space(Recipe(dim=64), ("triplet",)).largest_dim == 128


def test_a_sum_keeps_its_weights_and_what_was_given() -> None:
    recipe = Space(Recipe(), ("softmax+0.5*triplet:mining=batch-hard,soft=true",)).draw(Ends(False))
    first, second = losses.parse(recipe.loss)
    assert (first.name, first.weight, second.name, second.weight) == ("softmax", 1, "triplet", 0.5)
    assert second.settings["mining"] == "batch-hard" and second.settings["soft"] is True
    assert second.settings["margin"] == pytest.approx(0.2 / 3, rel=0.01)


def test_images_per_product_are_drawn_where_the_sampler_uses_them() -> None:
    space = Space(Recipe(), ("triplet",))
    assert space.draw(Ends(True, sampler="pk")).images_per_product == 8
    trial = Ends(True, sampler="auto")
    recipe = space.draw(trial)
    assert recipe.sampler is None and recipe.images_per_product is None and "images_per_product" not in trial.drawn


def test_the_pace_of_proxies_is_drawn_around_that_of_the_loss() -> None:
    own = losses.describe("proxy-anchor").learning_rate_factor
    assert Space(Recipe(), ("proxy-anchor",)).draw(Ends(True)).loss_factor == pytest.approx(10 * own)
    assert Space(Recipe(), ("triplet",)).draw(Ends(True)).loss_factor is None  # it learns nothing of its own


def test_a_list_of_losses_is_split_between_losses_only() -> None:
    text = "triplet:margin=0.3,soft=true,softmax+0.5*supcon,proxy-anchor"
    assert split_specs(text) == ["triplet:margin=0.3,soft=true", "softmax+0.5*supcon", "proxy-anchor"]
    with pytest.raises(UsageError, match="no-such"):
        losses.parse(split_specs("softmax,no-such")[1])
