"""From rehearsals to the network that ships: the closed form, epochs until they stagnate, and all photos in the end."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.catalog import Catalog, Item, TrainingSplit
from dmlcli.errors import CannotRun, TrainingError
from dmlcli.image import ImageSettings
from dmlcli.learn.data.activation_cache import Maps
from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.heads import HEADS, BlendHead, IdentityHead
from dmlcli.learn.networks.inference import forward_of, search_dtype
from dmlcli.learn.networks.lda import CAREFUL
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import Clock
from dmlcli.learn.training import epochs, refit
from dmlcli.learn.training.candidate import Trial, behind, closed_trial, frozen_trial
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.training.trainer import why_frozen
from dmlcli.learn.validation.head_selection import choose, initial_network
from dmlcli.learn.validation.plan import Plan, make_plan
from dmlcli.learn.validation.training_data import Material
from tests.conftest import make_embeddings, make_shop

CPU = torch.device("cpu")
PRODUCTS, IMAGES = 12, 6


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 12, 4, stride=4), nn.Conv2d(12, 12, 2, stride=2), nn.ReLU())

    @property
    def below(self) -> Tensor:
        return self.features[0].weight  # type: ignore[return-value]

    @property
    def top(self) -> Tensor:
        return self.features[1].weight  # type: ignore[return-value]

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.features(images)
        return maps.mean((2, 3))


def recipe(how: str = "head", epochs: int = 3, rate: float = 1e-3, **others: Any) -> Recipe:
    return replace(Recipe(tune=how, dim=8, epochs=epochs, batch_size=16, learning_rate=rate), **others)


def gathered(root: Path, products: int = PRODUCTS) -> Material:
    """Products with six pictures each; features from noise about each product's mean."""
    torch.manual_seed(0)
    shop = make_shop(root / "shop", products, IMAGES)
    names = [f"product-{row // IMAGES:02}" for row in range(products * IMAGES)]
    items = [Item(f"{name}/{row % IMAGES}.png", name) for row, name in enumerate(names)]
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(products, 12)).repeat(IMAGES, axis=0) + chance.normal(size=(len(items), 12))
    made = make_embeddings(vectors, names)
    features = torch.from_numpy(made.vectors)
    trunk = Network(Tiny(), IdentityHead(12), ImageSettings(resize=32, crop=32)).eval()
    rows = list(range(len(items)))
    nothing: Any = SimpleNamespace(record=SimpleNamespace(backbone="tiny", fingerprint="f", image=trunk.image))
    photos = Catalog(shop, items)
    files, digests = [photos.photo(item) for item in items], [state.digest for state in made.states]
    return Material(
        start=nothing,
        pretrained=trunk,
        trunk=trunk,
        model=nothing,
        photos=photos,
        split=TrainingSplit(rows, [], [], [], ""),
        views=torch.stack([features, F.normalize(features + 0.01, dim=-1)]),
        plain=made,
        skipped=[],
        maps=Maps(files, digests, ["plain", "flip"], nothing, root / "maps", mirror=False),
        names=["plain", "flip"],
    )


def rehearsed(root: Path, asked: Recipe, products: int = PRODUCTS) -> tuple[Material, Plan, Network]:
    material = gathered(root, products)
    planned = make_plan(material, asked)
    return material, planned, initial_network(material, planned.lessons[0], planned.setting, asked)


def test_labels_and_files_stand_in_the_order_of_the_features(tmp_path: Path) -> None:
    lesson = gathered(tmp_path).lesson([1, 7, 8, 40], {})
    assert lesson.labels.tolist() == [0, 1, 1, 2] and lesson.features.shape == (2, 4, 12)
    assert [photo.path.parent.name for photo in lesson.files] == [
        "product-00",
        "product-01",
        "product-01",
        "product-06",
    ]


def test_search_sees_the_mean_of_an_image_and_its_mirror_image(tmp_path: Path) -> None:
    material = gathered(tmp_path)
    assert torch.equal(material.seen, material.views[0])
    material.trunk.mirror = True
    assert torch.allclose(material.seen, F.normalize(material.views.mean(0), dim=-1))


def test_the_baseline_is_the_backbone_as_published(tmp_path: Path) -> None:
    """Of features that hold more, the plain view and the first pooling alone."""
    material = gathered(tmp_path)
    assert torch.equal(material.baseline, material.views[0])
    several = replace(material, views=torch.cat([material.views, 9 * material.views], dim=-1))
    several.trunk.pooling = "avg+max"
    assert torch.allclose(several.baseline, material.views[0])


def test_the_setting_that_is_chosen_scores_as_told(tmp_path: Path) -> None:
    material, planned, _ = rehearsed(tmp_path, recipe())
    for lesson, told in zip(planned.lessons, planned.closed, strict=True):
        network = initial_network(material, lesson, planned.setting, recipe())
        with torch.no_grad():
            scores = lesson.validation.scores(network.head(lesson.validation_features).numpy())
        assert scores == pytest.approx(told, abs=1e-6) and set(told) == {"known", "new"}


def test_strangers_are_as_close_as_a_search_for_them_says(tmp_path: Path) -> None:
    """In each rehearsal: photos of products that were held out, searched among what was fitted on."""
    material = gathered(tmp_path)
    material.trunk.mirror = True
    planned, found = make_plan(material, recipe()), []
    for lesson in planned.lessons:
        network = initial_network(material, lesson, planned.setting, recipe())
        fitted = {file.path for file in lesson.files}
        rows = [row for row, item in enumerate(material.photos.items) if material.photos.photo(item).path in fitted]
        products = {material.photos.items[row].product for row in rows}
        new = [row for row, item in enumerate(material.photos.items) if item.product and item.product not in products]
        with torch.no_grad():
            gallery, strangers = network.head(material.seen[rows]), network.head(material.seen[new])
        found.append(float(np.quantile((strangers @ gallery.T).max(1).values.numpy(), 0.95)))
    assert planned.strangers == pytest.approx(found, abs=1e-5)
    told = refit.closeness(planned, closed_trial(planned), recipe())
    assert told == {"refused": 0.95, "threshold": pytest.approx(np.mean(found), abs=1e-5), "rehearsals": len(found)}


def test_without_rehearsals_the_careful_setting_is_taken_and_no_gradient(tmp_path: Path) -> None:
    material, planned, network = rehearsed(tmp_path, recipe(), products=3)
    assert planned.setting == CAREFUL and frozen_trial(planned).score is None and "none" in planned.how
    assert choose([], recipe()) == (CAREFUL, [], [])
    assert list(epochs.trials(network, planned, recipe(), CPU)) == []
    closed = closed_trial(planned)
    assert closed.beats(frozen_trial(planned))
    shipped = refit.finish(material, planned, closed, recipe(), CPU)
    assert isinstance(shipped.head, BlendHead) and len(shipped.head.means) == 3


def test_gradient_training_must_be_clearly_better_than_the_closed_form() -> None:
    closed = Trial("closed form", {"new": 0.5})
    slightly, clearly = (Trial("epoch 1", {"new": score}, {}, 1) for score in (0.501, 0.51))
    assert not slightly.beats(closed) and clearly.beats(closed) and clearly.beats(slightly)
    assert Trial("closed form", {"new": 0.501}).beats(closed)


def test_what_is_below_the_frozen_backbone_in_one_search_never_replaces_what_is_not() -> None:
    frozen = Trial("frozen backbone", {"known": 0.3, "new": 0.4})
    scores = {"known": 0.9, "new": 0.39}
    harmful = Trial("closed form", scores, behind=behind(scores, frozen.scores))
    assert harmful.behind == ("new",) and (harmful.score or 0) > (frozen.score or 0)
    assert not harmful.beats(frozen) and frozen.beats(harmful)
    harmless = Trial("epoch 3", {"known": 0.4, "new": 0.4}, {}, 3)
    assert harmless.beats(harmful) and harmless.beats(frozen)
    epoch = Trial("epoch 4", scores, {}, 4, behind=("new",))
    assert not epoch.beats(harmless) and not epoch.beats(frozen)


def test_where_training_does_harm_the_frozen_backbone_is_kept_and_the_reason_said(tmp_path: Path) -> None:
    """All settings and all epochs are below it in one search."""
    _, planned, network = rehearsed(tmp_path, recipe())
    planned = replace(planned, frozen=[{"known": 0.0, "new": 1.1} for _ in planned.lessons])
    trials = [closed_trial(planned, first=True), *epochs.trials(network, planned, recipe(), CPU)]
    assert len(trials) == 4 and all(trial.behind == ("new",) for trial in trials)
    best, frozen = closed_trial(planned), frozen_trial(planned)
    assert not best.beats(frozen)
    said = why_frozen(best, frozen, "both")
    assert "worse for new products" in said and "frozen backbone 110.0 %" in said and "use --for known" in said
    assert "--for" not in why_frozen(best, frozen, "new")


@pytest.mark.parametrize("patience", [0, 2])
def test_patience_ends_training_after_so_many_epochs_without_a_gain_and_0_never(tmp_path: Path, patience: int) -> None:
    """The first epoch is the best, as no later one can be: its score is set aside by what is patched in."""
    asked = recipe(epochs=7, patience=patience)
    _, planned, network = rehearsed(tmp_path, asked)
    planned = replace(planned, closed=[{"known": 0.1, "new": 0.1}] * len(planned.lessons))
    planned = replace(planned, frozen=[{"known": 0.0, "new": 0.0}] * len(planned.lessons))
    given = iter([0.9, *[0.5] * 20])
    planned.lessons[0].validation.judged = lambda _: ((s := next(given)) and {"known": s, "new": s}, {})  # type: ignore
    trials = list(epochs.trials(network, planned, asked, CPU))
    assert len(trials) == (7 if patience == 0 else 1 + patience)


@pytest.mark.parametrize("how", ["head", "top", "all"])
def test_a_trial_can_be_put_back_as_it_was_scored(tmp_path: Path, how: str) -> None:
    """Whatever came after it: the states of all trials are kept, then loaded into the network one by one."""
    asked = recipe(how, rate=0.01)
    _, planned, network = rehearsed(tmp_path, asked)
    trials = list(epochs.trials(network, planned, asked, CPU))
    assert [trial.origin for trial in trials] == ["epoch 1", "epoch 2", "epoch 3"]
    lesson = planned.lessons[0]
    for trial in trials:
        network.load_state_dict(trial.state, strict=False)
        seen = lesson.validation_features
        if how != "head":
            seen = features_of(
                lesson.validation_files, network.image, forward_of(network.headless(), CPU, search_dtype(CPU))
            )
        with torch.no_grad():
            found = lesson.validation.scores(network.eval().head(seen).numpy())
        assert found == pytest.approx(trial.scores, abs=1e-3 if how == "top" else 1e-6)  # maps are kept as float16


@pytest.mark.parametrize(("how", "changes"), [("head", ""), ("top", "top"), ("all", "below top")])
@pytest.mark.parametrize("again", [True, False])
def test_each_depth_trains_its_part_of_the_backbone(tmp_path: Path, how: str, changes: str, again: bool) -> None:
    """Interrupted (not again) or not, what ships has it, and a head for all products."""
    material, planned, network = rehearsed(tmp_path, recipe(how))
    before = {part: getattr(network.backbone, part).detach().clone() for part in ("below", "top")}
    *_, last = epochs.trials(network, planned, recipe(how), CPU)
    assert all(torch.equal(getattr(network.backbone, part), weight) for part, weight in before.items())
    shipped = refit.finish(material, planned, last, recipe(how), CPU, again=again)
    for part, weight in before.items():
        assert torch.equal(getattr(shipped.backbone, part), weight) is (part not in changes)
    assert isinstance(shipped.head, BlendHead) and len(shipped.head.means) == PRODUCTS


def test_auto_begins_with_the_head_and_goes_on_where_a_budget_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, planned, network = rehearsed(tmp_path, recipe("auto"))
    assert {trial.depth for trial in epochs.trials(network, planned, recipe("auto"), CPU)} == {"head"}
    monkeypatch.setattr("dmlcli.learn.training.stage_selection._LEAST_IMAGES", 1)
    trials = list(epochs.trials(network, planned, recipe("auto"), CPU, clock=Clock(3600)))
    assert [trial.depth for trial in trials] == ["head"] * 3 + ["all"] * 3
    monkeypatch.setattr("dmlcli.learn.training.stage_selection._WORTH_EPOCHS", {"all": 10**9, "top": 1})
    *_, last = epochs.trials(network, planned, recipe("auto"), CPU, clock=Clock(3600))
    assert last.depth == "top"


def test_with_too_few_products_for_new_ones_the_careful_form_is_taken(tmp_path: Path) -> None:
    _, planned, network = rehearsed(tmp_path, recipe("auto"), products=6)
    assert planned.setting == CAREFUL and "most careful" in planned.how and set(planned.closed[0]) == {"known"}
    assert not list(epochs.trials(network, planned, recipe("auto"), CPU))
    _, sharp, network = rehearsed(tmp_path / "known", recipe("head", purpose="known"), products=6)
    assert list(epochs.trials(network, sharp, recipe("head", purpose="known"), CPU))


def test_features_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    _, planned, network = rehearsed(tmp_path, recipe("all"))
    with torch.no_grad():
        network.backbone.top.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(TrainingError, match="epoch 1, step 1: NaN or infinity in the lengths of the embeddings"):
        list(epochs.trials(network, planned, recipe("all"), CPU))


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_can_be_trained_with_the_backbone(tmp_path: Path, kind: str) -> None:
    asked = recipe("all", epochs=1, head=kind, batch_norm="free")
    material, planned, network = rehearsed(tmp_path, asked)
    if kind == "identity":
        assert closed_trial(planned).score is None
    (trial,) = epochs.trials(network, planned, asked, CPU)
    shipped = refit.finish(material, planned, trial, asked, CPU)
    assert shipped.head.settings.get("tuned", "identity") == kind and trial.score is not None


@pytest.mark.parametrize("kind", HEADS[:-1])
def test_every_head_starts_from_the_closed_form_and_learns(tmp_path: Path, kind: str) -> None:
    asked = recipe(head=kind, epochs=6, patience=0)
    _, planned, network = rehearsed(tmp_path, asked)
    trials = list(epochs.trials(network, planned, asked, CPU))
    losses = [trial.epoch.loss for trial in trials if trial.epoch]
    assert losses[-1] < losses[0]


def test_training_stops_when_it_no_longer_gets_better(tmp_path: Path) -> None:
    asked = recipe(epochs=400, rate=0.3)
    _, planned, network = rehearsed(tmp_path, asked)
    trials = list(epochs.trials(network, planned, asked, CPU))
    scores = [trial.score or 0.0 for trial in trials]
    assert len(trials) < 200 and max(scores[-6:]) <= max([closed_trial(planned, first=True).score or 0, *scores[:-6]])


@pytest.mark.parametrize("how", ["head", "all"])
def test_a_seed_makes_it_repeatable(tmp_path: Path, how: str) -> None:
    losses = []
    for number, seed in enumerate((0, 0, 1)):
        asked = recipe(how, epochs=2, seed=seed)
        _, planned, network = rehearsed(tmp_path / str(number), asked)
        torch.manual_seed(seed)
        losses.append([trial.epoch.loss for trial in epochs.trials(network, planned, asked, CPU) if trial.epoch])
    assert losses[0] == losses[1] != losses[2]


DAMAGE = {
    "no learner": lambda state: state.pop("learner"),
    "no best": lambda state: state.pop("best"),
    "another depth": lambda state: state.update(depth="deep"),
    "no depth": lambda state: state.pop("depth"),
    "more of the best": lambda state: state["best"].update(color="red"),
    "scores of words": lambda state: state["best"].update(scores={"new": "good"}),
    "another shape of the best": lambda state: state["best"]["state"].update({"head.blend": torch.zeros(3)}),
    "another name in the best": lambda state: state["best"]["state"].update(ear=torch.zeros(3)),
    "nothing in the best": lambda state: state["best"].update(state={}, trained=2),
    "another shape of the optimizer": lambda state: state["learner"]["optimizer"]["state"][0].update(
        exp_avg=torch.zeros(3)
    ),
    "no modules": lambda state: state["learner"].pop("modules"),
    "modules of another shape": lambda state: state["learner"]["modules"].update(
        {name: torch.zeros(1) for name in state["learner"]["modules"]}
    ),
    "an epoch of words": lambda state: state["learner"].update(epoch="first"),
    "no random numbers": lambda state: state["learner"].update(random=[]),
    "stale words": lambda state: state.update(stale="long"),
}


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Network, bytes]:
    """What two epochs began with, and their checkpoint."""
    folder = tmp_path_factory.mktemp("halfway")
    asked = recipe(epochs=2)
    _, planned, network = rehearsed(folder, asked)
    planned = replace(planned, closed=[{"known": 0.01, "new": 0.01}] * 3, frozen=[{"known": 0.0, "new": 0.0}] * 3)
    file = folder / "checkpoint.pt"
    list(epochs.trials(deepcopy(network), planned, asked, CPU, Checkpoint(file)))
    return planned, network, file.read_bytes()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(
    halfway: tuple[Plan, Network, bytes], tmp_path: Path, damage: str
) -> None:
    planned, network, checkpoint = halfway
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(checkpoint)
    state = torch.load(file, weights_only=True)
    assert state["best"]["trained"] > 0
    DAMAGE[damage](state)
    torch.save(state, file)
    with pytest.raises(CannotRun, match=r"checkpoint\.pt is damaged") as caught:
        list(epochs.trials(deepcopy(network), planned, recipe(epochs=2), CPU, Checkpoint(file)))
    assert "--resume" in caught.value.hint
