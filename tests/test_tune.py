"""Trials: closed forms first, then epochs until they stagnate; the best one can be put back as it was scored."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmlcli.catalog import Catalog, Item, TrainingSplit
from dmlcli.embeddings import Embeddings
from dmlcli.image import ImageSettings
from dmlcli.learn import tune
from dmlcli.learn.closed_form import BLENDS, SHRINKAGES
from dmlcli.learn.network import BlendHead, Network
from dmlcli.learn.recipe import Recipe
from tests.conftest import make_embeddings, make_shop

CPU = torch.device("cpu")


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 8, stride=8)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.conv(images)).mean((2, 3))


def recipe(how: str, epochs: int = 3, rate: float = 1e-3, seed: int = 0) -> Recipe:
    return Recipe(tune=how, dim=8, epochs=epochs, batch_size=16, learning_rate=rate, views=2, seed=seed)


def gathered(root: Path, held_out: int = 3) -> tuple[Network, tune.Material]:
    """Eight products with four pictures, some of them held out; features from noise about each product's mean."""
    torch.manual_seed(0)
    shop = make_shop(root / "shop", 8, 4)
    items = [Item(f"product-{row // 4:02}/{row % 4}.png", f"product-{row // 4:02}") for row in range(32)]
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(8, 12)).repeat(4, axis=0) + chance.normal(size=(32, 12))
    made = make_embeddings(vectors, [item.product for item in items])
    plain = Embeddings(shop, items, made.states, made.vectors, "")
    fit = list(range(32 - 4 * held_out))
    queries = list(range(32 - 4 * held_out, 32))
    fitted = Catalog(shop, [items[row] for row in fit])
    features = torch.from_numpy(made.vectors[fit])
    stacked = torch.stack([features, nn.functional.normalize(features + 0.01, dim=-1)])
    split = TrainingSplit(fit, queries, queries, [], "")
    network = Network(Tiny(), BlendHead(12, 5, 3), ImageSettings(resize=32, crop=32)).eval()
    return network, tune.gather(fitted, stacked, plain, split)


def test_labels_and_files_stand_in_the_order_of_the_features(tmp_path: Path) -> None:
    _, material = gathered(tmp_path)
    assert material.labels.tolist() == [row // 4 for row in range(20)]
    assert all(f"product-{label:02}" in str(file) for label, file in zip(material.labels, material.files, strict=True))
    assert len(material.validation_files) == len(material.validation_features) == 12


def test_every_closed_form_is_tried_and_scored_as_the_head_it_carries(tmp_path: Path) -> None:
    network, material = gathered(tmp_path)
    trials = list(tune.closed_forms(network, material))
    assert len({trial.origin for trial in trials}) == len(SHRINKAGES) * len(BLENDS)
    for trial in trials:
        network.load_state_dict(trial.state, strict=False)
        with torch.no_grad():
            again = material.validation.score(network.head(material.validation_features).numpy())
        assert again == trial.score


def test_without_validation_only_the_most_careful_closed_form_is_made(tmp_path: Path) -> None:
    network, material = gathered(tmp_path, held_out=0)
    (trial,) = tune.trials(network, material, recipe("head"), CPU)
    assert trial.score is None and "shrinkage 1, blend 0.5" in trial.origin
    assert tune.frozen_trial(material).score is None
    assert trial.beats(tune.frozen_trial(material))


@pytest.mark.parametrize("how", ["head", "all"])
def test_a_trial_can_be_put_back_as_it_was_scored(tmp_path: Path, how: str) -> None:
    """Whatever came after it: the states of all trials are kept, then loaded into the network one by one."""
    network, material = gathered(tmp_path)
    trials = [trial for trial in tune.trials(network, material, recipe(how, rate=0.01), CPU) if trial.epoch]
    assert [trial.origin for trial in trials] == ["epoch 1", "epoch 2", "epoch 3"]
    for trial in trials:
        network.load_state_dict(trial.state, strict=False)
        if how == "head":
            with torch.no_grad():
                score = material.validation.score(network.head(material.validation_features).numpy())
        else:
            score = tune._score_files(network, material, CPU) or 0.0
        assert score == pytest.approx(trial.score, abs=1e-6)


@pytest.mark.parametrize(("how", "changes"), [("head", False), ("all", True)])
def test_only_tune_all_trains_the_backbone(tmp_path: Path, how: str, changes: bool) -> None:
    network, material = gathered(tmp_path)
    before = network.backbone.conv.weight.detach().clone()  # type: ignore[union-attr, operator]
    *_, last = tune.trials(network, material, recipe(how), CPU)
    state = last.state.get("backbone.conv.weight")
    assert (state is not None and not torch.equal(state, before)) is changes


@pytest.mark.filterwarnings("ignore:training stopped")  # the rate is as wrong as can be
def test_training_the_whole_leaves_the_network_that_earlier_trials_belong_to(tmp_path: Path) -> None:
    """A closed form carries a head only: it must meet the backbone that it was scored with."""
    network, material = gathered(tmp_path)
    before = network.backbone.conv.weight.detach().clone()  # type: ignore[union-attr, operator]
    list(tune.trials(network, material, recipe("all", rate=1.0), CPU))
    assert torch.equal(network.backbone.conv.weight, before)  # type: ignore[union-attr, arg-type]


def test_training_stops_when_it_no_longer_gets_better(tmp_path: Path) -> None:
    network, material = gathered(tmp_path)
    trials = list(tune.trials(network, material, recipe("head", epochs=400, rate=0.3), CPU))
    scores = [trial.score or 0.0 for trial in trials]
    assert len(trials) < 200 and max(scores[-6:]) <= max(scores[:-6])


@pytest.mark.parametrize("how", ["head", "all"])
def test_a_seed_makes_it_repeatable(tmp_path: Path, how: str) -> None:
    losses = []
    for number, seed in enumerate((0, 0, 1)):
        network, material = gathered(tmp_path / str(number))
        torch.manual_seed(seed)
        trials = tune.trials(network, material, recipe(how, epochs=2, seed=seed), CPU)
        losses.append([trial.epoch.loss for trial in trials if trial.epoch])
    assert losses[0] == losses[1] != losses[2]
