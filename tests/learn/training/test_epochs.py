"""From folds to the final network: the LDA head, epochs until they stagnate, and all photos in the end."""

import math
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

from dmlcli.catalog import Catalog, Item, Photo, TrainingSplit
from dmlcli.errors import CannotRun, TrainingError
from dmlcli.image import ImageSettings
from dmlcli.learn.data.activation_cache import ActivationCache
from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.frozen import FrozenBackbone
from dmlcli.learn.networks.frozen_batch_norm import FrozenBatchNorms
from dmlcli.learn.networks.heads import HEADS, BlendHead, HeadSpec, IdentityHead
from dmlcli.learn.networks.inference import forward_of, search_dtype
from dmlcli.learn.networks.lda import CONSERVATIVE
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import EXPORT, EpochPlanner, TimeBudget
from dmlcli.learn.training import refit, stage_selection
from dmlcli.learn.training.answer_fit import embedded_folds
from dmlcli.learn.training.backbone_stages import WholeStage
from dmlcli.learn.training.candidate import FROZEN, POOLED, Candidate, behind, frozen_candidate, lda_candidate, select
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.training.epochs import GradientTraining
from dmlcli.learn.training.stages import NOTHING
from dmlcli.learn.training.trainer import why_frozen
from dmlcli.learn.validation.head_selection import choose, initial_network
from dmlcli.learn.validation.plan import ValidationPlan, make_plan
from dmlcli.learn.validation.training_data import TrainingData
from tests.conftest import make_embeddings, make_shop

CPU = torch.device("cpu")
PRODUCTS, IMAGES = 12, 6


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 12, 4, stride=4), nn.Conv2d(12, 12, 2, stride=2), nn.ReLU())

    @property
    def stem(self) -> Tensor:
        return self.features[0].weight  # type: ignore[return-value]

    @property
    def top(self) -> Tensor:
        return self.features[1].weight  # type: ignore[return-value]

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.features(images)
        return maps.mean((2, 3))


def recipe(how: str = "head", epochs: int = 3, rate: float = 1e-3, **others: Any) -> Recipe:
    return replace(Recipe(tune=how, dim=8, epochs=epochs, batch_size=16, learning_rate=rate), **others)


def gathered(root: Path, products: int = PRODUCTS, *, mirror: bool = False) -> TrainingData:
    """Products with six pictures each; features from noise about each product's mean."""
    names = ["plain", "flip" if mirror else "light1-seed0"]
    torch.manual_seed(0)
    shop = make_shop(root / "shop", products, IMAGES)
    owners = [f"product-{row // IMAGES:02}" for row in range(products * IMAGES)]
    items = [Item(f"{owner}/{row % IMAGES}.png", owner) for row, owner in enumerate(owners)]
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(products, 12)).repeat(IMAGES, axis=0) + rng.normal(size=(len(items), 12))
    made = make_embeddings(vectors, owners)
    features = torch.from_numpy(made.vectors)
    feature_extractor = Network(Tiny(), IdentityHead(12), ImageSettings(resize=32, crop=32)).eval()
    rows = list(range(len(items)))
    nothing: Any = SimpleNamespace(
        record=SimpleNamespace(backbone="tiny", fingerprint="f", image=feature_extractor.image)
    )
    photos = Catalog(shop, items)
    files, digests = [photos.photo(item) for item in items], [state.digest for state in made.states]
    return TrainingData(
        backbone=FrozenBackbone(nothing, feature_extractor, feature_extractor, nothing),
        photos=photos,
        split=TrainingSplit(rows, []),
        views=torch.stack([features, F.normalize(features + 0.01, dim=-1)]),
        plain=made,
        skipped=[],
        maps=ActivationCache(files, digests, names, nothing, root / "maps", mirror="flip" in names),
        view_names=names,
    )


def planned(root: Path, asked: Recipe, products: int = PRODUCTS) -> tuple[TrainingData, ValidationPlan, Network]:
    data = gathered(root, products)
    plan = make_plan(data, asked)
    return data, plan, initial_network(data, plan.folds[0], plan.head_params, plan.head_spec)


def trained(network: Network, plan: ValidationPlan, asked: Recipe, *more: Any, **others: Any) -> list[Candidate]:
    """The candidate of each epoch."""
    return [scored.candidate for scored in GradientTraining(network, plan, asked, CPU, *more, **others).epochs()]


def epoch_losses(network: Network, plan: ValidationPlan, asked: Recipe) -> list[float]:
    return [scored.epoch.loss for scored in GradientTraining(network, plan, asked, CPU).epochs()]


def test_labels_and_files_stand_in_the_order_of_the_features(tmp_path: Path) -> None:
    fold = gathered(tmp_path).fold([1, 7, 8, 40], {})
    assert fold.train.labels.tolist() == [0, 1, 1, 2] and fold.train.features.shape == (2, 4, 12)
    assert [photo.path.parent.name for photo in fold.train.files] == [
        "product-00",
        "product-01",
        "product-01",
        "product-06",
    ]


def test_search_sees_the_mean_of_an_image_and_its_mirror_image(tmp_path: Path) -> None:
    data = gathered(tmp_path)
    assert torch.equal(data.search_features, data.views[0])
    data = replace(data, view_names=["plain", "flip"])
    assert torch.allclose(data.search_features, F.normalize(data.views.mean(0), dim=-1))


def test_the_baseline_is_the_backbone_as_published(tmp_path: Path) -> None:
    """Of features that hold more, the plain view and the first pooling alone."""
    data = gathered(tmp_path)
    assert torch.equal(data.baseline, data.views[0])
    several = replace(data, views=torch.cat([data.views, 9 * data.views], dim=-1))
    several.backbone.feature_extractor.pooling = "avg+max"
    assert torch.allclose(several.baseline, data.views[0])


def test_the_setting_that_is_chosen_scores_as_reported(tmp_path: Path) -> None:
    data, plan, _ = planned(tmp_path, recipe())
    for fold, report in zip(plan.folds, plan.lda_scores, strict=True):
        network = initial_network(data, fold, plan.head_params, plan.head_spec)
        with torch.no_grad():
            scores = fold.validation.searches.scores(network.head(fold.validation.features).numpy())
        assert scores == pytest.approx(report, abs=1e-6) and set(report) == {"seen", "unseen"}


def test_unknown_products_are_as_close_as_a_search_for_them_finds(tmp_path: Path) -> None:
    """In each fold: photos of products that were held out, searched among what was fitted on."""
    data = gathered(tmp_path, mirror=True)
    plan, found = make_plan(data, recipe()), []
    for fold in plan.folds:
        network = initial_network(data, fold, plan.head_params, plan.head_spec)
        fitted = {file.path for file in fold.train.files}
        rows = [row for row, item in enumerate(data.photos.items) if data.photos.photo(item).path in fitted]
        products = {data.photos.items[row].product for row in rows}
        new = [row for row, item in enumerate(data.photos.items) if item.product and item.product not in products]
        with torch.no_grad():
            gallery, open_set = network.head(data.search_features[rows]), network.head(data.search_features[new])
        found.append(float(np.quantile((open_set @ gallery.T).max(1).values.numpy(), 0.95)))
    assert plan.open_set == pytest.approx(found, abs=1e-5)
    report = refit.unknown_product_threshold(plan, lda_candidate(plan))
    assert report == {"refused": 0.95, "threshold": pytest.approx(np.mean(found), abs=1e-5), "folds": len(found)}


def test_without_folds_the_conservative_head_is_taken_and_no_gradient(tmp_path: Path) -> None:
    data, plan, network = planned(tmp_path, recipe(), products=3)
    assert plan.head_params == CONSERVATIVE and frozen_candidate(plan).score is None and "none" in plan.summary
    assert choose([], HeadSpec("linear", 8), []) == (CONSERVATIVE, [], [])
    assert trained(network, plan, recipe()) == []
    closed = lda_candidate(plan)
    assert closed.beats(frozen_candidate(plan))
    shipped = refit.finish(data, plan, closed, recipe(), CPU)
    assert isinstance(shipped.head, BlendHead) and len(shipped.head.prototypes) == 3


def test_gradient_training_must_be_clearly_better_than_the_lda_head() -> None:
    closed = Candidate("LDA head", {"unseen": 0.5})
    slightly, clearly = (Candidate("epoch 1", {"unseen": score}, {}, 1) for score in (0.501, 0.51))
    assert not slightly.beats(closed) and clearly.beats(closed) and clearly.beats(slightly)
    assert Candidate("LDA head", {"unseen": 0.501}).beats(closed)


def test_an_lda_head_that_is_better_in_all_folds_survives_an_epoch_that_is_not_in_the_first(tmp_path: Path) -> None:
    _, made, _ = planned(tmp_path, recipe())
    frozen, lda = [{"seen": 0.6}, {"seen": 0.3}], [{"seen": 0.5}, {"seen": 0.7}]
    plan = replace(made, frozen_scores=frozen, lda_scores=lda, pooled_scores=frozen)
    epoch = Candidate("epoch 1", {"seen": 0.55}, epochs=1, stage="head", behind=("seen",))
    assert epoch.beats(lda_candidate(plan, first=True)) and lda_candidate(plan).beats(frozen_candidate(plan))
    assert select(plan, epoch) == (lda_candidate(plan), frozen_candidate(plan))
    better = replace(epoch, scores={"seen": 0.65}, behind=())
    assert select(plan, better) == (better, frozen_candidate(plan, first=True))
    nothing = replace(plan, frozen_scores=[{"seen": 0.9}, {"seen": 0.9}])
    assert select(nothing, epoch) == (epoch, frozen_candidate(nothing, first=True))  # the reason names what was trained
    assert select(plan, lda_candidate(plan, first=True)) == (lda_candidate(plan), frozen_candidate(plan))


def test_pooled_features_are_kept_where_no_head_scores_higher(tmp_path: Path) -> None:
    data, made, _ = planned(tmp_path, recipe())
    frozen, lda, better = [{"seen": 0.3}] * 2, [{"seen": 0.5}] * 2, [{"seen": 0.6}] * 2
    plan = replace(made, frozen_scores=frozen, lda_scores=lda, pooled_scores=better)
    best, baseline = select(plan, lda_candidate(plan, first=True))
    assert (best.origin, best.scores, baseline.origin) == (POOLED, better[0], FROZEN)
    network = refit.finish(data, plan, best, recipe(), CPU)
    assert isinstance(network.head, IdentityHead) and refit.unknown_product_threshold(plan, best) is None
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(network(images), F.normalize(data.backbone.feature_extractor(images), dim=-1), atol=1e-6)

    for pooled, lda_there in (([{"seen": 0.5}] * 2, lda), ([{"seen": 0.2}] * 2, [{"seen": 0.1}] * 2)):
        plan = replace(made, frozen_scores=frozen, lda_scores=lda_there, pooled_scores=pooled)
        assert select(plan, lda_candidate(plan, first=True))[0] == lda_candidate(plan)
    plan = replace(made, frozen_scores=[], lda_scores=[], pooled_scores=[])  # nothing could be held out
    assert select(plan, lda_candidate(plan, first=True))[0] == lda_candidate(plan)


def test_what_is_below_the_frozen_backbone_in_one_search_never_replaces_what_is_not() -> None:
    frozen = Candidate("frozen backbone", {"seen": 0.3, "unseen": 0.4})
    scores = {"seen": 0.9, "unseen": 0.39}
    harmful = Candidate("LDA head", scores, behind=behind(scores, frozen.scores))
    assert harmful.behind == ("unseen",) and (harmful.score or 0) > (frozen.score or 0)
    assert not harmful.beats(frozen) and frozen.beats(harmful)
    harmless = Candidate("epoch 3", {"seen": 0.4, "unseen": 0.4}, {}, 3)
    assert harmless.beats(harmful) and harmless.beats(frozen)
    epoch = Candidate("epoch 4", scores, {}, 4, behind=("unseen",))
    assert not epoch.beats(harmless) and not epoch.beats(frozen)


def test_where_training_does_harm_the_frozen_backbone_is_kept_and_the_reason_said(tmp_path: Path) -> None:
    """All settings and all epochs are below it in one search."""
    _, plan, network = planned(tmp_path, recipe())
    plan = replace(plan, frozen_scores=[{"seen": 0.0, "unseen": 1.1} for _ in plan.folds])
    candidates = [lda_candidate(plan, first=True), *trained(network, plan, recipe())]
    assert len(candidates) == 4 and all(candidate.behind == ("unseen",) for candidate in candidates)
    best, frozen = lda_candidate(plan), frozen_candidate(plan)
    assert not best.beats(frozen)
    said = why_frozen(best, frozen, "both")
    assert "worse for unseen products" in said and "frozen backbone 110.0 %" in said and "use --for seen" in said
    assert "--for" not in why_frozen(best, frozen, "unseen")


@pytest.mark.parametrize("patience", [0, 2])
def test_patience_ends_training_after_so_many_epochs_without_a_gain_and_0_never(tmp_path: Path, patience: int) -> None:
    """The first epoch is the best, as no later one can be: its score is set aside by what is patched in."""
    asked = recipe(epochs=7, patience=patience)
    _, plan, network = planned(tmp_path, asked)
    plan = replace(plan, lda_scores=[{"seen": 0.1, "unseen": 0.1}] * len(plan.folds))
    plan = replace(plan, frozen_scores=[{"seen": 0.0, "unseen": 0.0}] * len(plan.folds))
    given = iter([0.9, *[0.5] * 20])
    scored: Any = plan.folds[0].validation.searches
    scored.scores_with_intervals = lambda _: ((s := next(given)) and {"seen": s, "unseen": s}, {})
    candidates = trained(network, plan, asked)
    assert len(candidates) == (7 if patience == 0 else 1 + patience)


@pytest.mark.parametrize("how", ["head", "top", "all"])
def test_a_trial_can_be_put_back_as_it_was_scored(tmp_path: Path, how: str) -> None:
    """Whatever came after it: the states of all trials are kept, then loaded into the network one by one."""
    asked = recipe(how, rate=0.01)
    _, plan, network = planned(tmp_path, asked)
    candidates = trained(network, plan, asked)
    assert [candidate.origin for candidate in candidates] == ["epoch 1", "epoch 2", "epoch 3"]
    fold = plan.folds[0]
    for candidate in candidates:
        network.load_state_dict(candidate.state, strict=False)
        seen = fold.validation.features
        if how != "head":
            seen = features_of(
                fold.validation.files, network.image, forward_of(network.headless(), CPU, search_dtype(CPU))
            )
        with torch.no_grad():
            found = fold.validation.searches.scores(network.eval().head(seen).numpy())
        assert found == pytest.approx(candidate.scores, abs=1e-3 if how == "top" else 1e-6)  # maps are kept as float16


@pytest.mark.parametrize(("how", "changes"), [("head", ""), ("top", "top"), ("all", "stem top")])
@pytest.mark.parametrize("again", [True, False])
def test_each_depth_trains_its_part_of_the_backbone(tmp_path: Path, how: str, changes: str, again: bool) -> None:
    """Interrupted (not again) or not, the final network has it, and a head for all products."""
    data, plan, network = planned(tmp_path, recipe(how))
    before = {part: getattr(network.backbone, part).detach().clone() for part in ("stem", "top")}
    *_, last = trained(network, plan, recipe(how))
    assert all(torch.equal(getattr(network.backbone, part), weight) for part, weight in before.items())
    shipped = refit.finish(data, plan, last, recipe(how), CPU, again=again)
    for part, weight in before.items():
        assert torch.equal(getattr(shipped.backbone, part), weight) is (part not in changes)
    assert isinstance(shipped.head, BlendHead) and len(shipped.head.prototypes) == PRODUCTS


def fitted_by_hand(data: TrainingData, plan: ValidationPlan, best: Candidate, asked: Recipe) -> dict[str, Tensor]:
    """The weights of the backbone after the epochs of a candidate on all photos."""
    whole = data.fold(data.split.fit, {})
    network = initial_network(data, whole, plan.head_params, plan.head_spec)
    stage = stage_selection.make_stage(network, whole, plan.head_params, asked, CPU)
    for _, epoch in zip(best.rates, stage.fit(), strict=False):
        assert epoch.learning_rate == pytest.approx(asked.learning_rate * best.rates[epoch.number - 1])
    assert len(stage.fold.train.labels) == len(data.split.fit) > len(plan.folds[0].train.labels)
    return {name: value for name, value in stage.network.state_dict().items() if name.startswith("backbone")}  # type: ignore[attr-defined]


def test_the_whole_network_is_trained_again_on_all_photos_at_the_rates_of_the_fold(tmp_path: Path) -> None:
    """As many epochs as the candidate had, of a schedule as long as that of the fold."""
    asked = recipe("all", epochs=5, rate=0.01, patience=0)
    data, plan, network = planned(tmp_path, asked)
    best = trained(network, plan, asked)[2]
    assert best.rates == pytest.approx([0.5 + 0.5 * math.cos(math.pi * done / 5) for done in range(3)])
    assert best.seconds > 0
    expected = fitted_by_hand(data, plan, best, asked)
    shipped = refit.finish(data, plan, best, asked, CPU).state_dict()
    assert all(torch.equal(shipped[name], value) for name, value in expected.items())
    kept = refit.finish(data, plan, best, asked, CPU, again=False).state_dict()
    assert all(torch.equal(kept[name], best.state[name]) for name in expected)
    assert any(not torch.equal(shipped[name], kept[name]) for name in expected)


def test_a_budget_without_time_for_the_final_fit_keeps_the_backbone_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe("all", epochs=2, patience=0)
    data, plan, network = planned(tmp_path, asked)
    *_, best = trained(network, plan, asked)
    said: list[str] = []
    monkeypatch.setattr("dmlcli.progress.note", said.append)
    monkeypatch.setattr("dmlcli.learn.training.refit.EXPORT", 1.0)
    for seconds, slow, again in ((3600, 0.0, True), (3600, 1e4, False), (1, 0.0, False)):
        shipped = refit.finish(
            data, plan, replace(best, seconds=slow), asked, CPU, time_budget=TimeBudget(seconds)
        ).state_dict()
        assert all(torch.equal(shipped[name], best.state[name]) for name in shipped if "backbone" in name) is not again
        assert bool(said) is not again
    assert "the budget has no time to train on all photos" in said[0]
    assert refit.seconds_again(plan, replace(best, seconds=10)) == pytest.approx(
        10 * len(data.split.fit) / len(plan.folds[0].train.labels)
    )


def test_a_final_fit_that_was_interrupted_goes_on_where_it_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, file = recipe("all", epochs=3, rate=0.01, patience=0), tmp_path / "checkpoint.pt"
    data, plan, network = planned(tmp_path, asked)
    *_, best = trained(network, plan, asked)
    whole = refit.finish(data, plan, best, asked, CPU).state_dict()
    shown: list[int] = []
    batches = WholeStage.batches

    def interrupted(stage: WholeStage, epoch: int) -> Any:
        shown.append(epoch)
        if len(shown) == 2:
            raise KeyboardInterrupt
        return batches(stage, epoch)

    monkeypatch.setattr(WholeStage, "batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        refit.finish(data, plan, best, asked, CPU, checkpoint=Checkpoint(file))
    resumed = GradientTraining(deepcopy(network), plan, asked, CPU, Checkpoint(file))
    assert [*resumed.epochs()] == [] and resumed.best.epochs == best.epochs and resumed.best.rates == best.rates
    finished = refit.finish(data, plan, resumed.best, asked, CPU, checkpoint=Checkpoint(file)).state_dict()
    assert shown == [1, 2, 2, 3]
    assert all(torch.equal(finished[name], value) for name, value in whole.items())


def test_a_fold_of_all_photos_is_not_trained_on_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing could be held out."""
    asked = recipe("all", epochs=1)
    data, plan, network = planned(tmp_path, asked, products=3)
    (best,) = trained(network, plan, asked)
    assert plan.images_again == 0
    monkeypatch.setattr("dmlcli.learn.training.stage_selection.make_stage", lambda *_: pytest.fail("trained again"))
    shipped = refit.finish(data, plan, best, asked, CPU).state_dict()
    assert all(torch.equal(shipped[name], best.state[name]) for name in shipped if name.startswith("backbone"))


def test_auto_begins_with_the_head_and_goes_on_where_a_budget_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan, network = planned(tmp_path, recipe("auto"))
    assert {candidate.stage for candidate in trained(network, plan, recipe("auto"))} == {"head"}
    monkeypatch.setattr("dmlcli.learn.training.stage_selection._LEAST_IMAGES", 1)
    candidates = trained(network, plan, recipe("auto"), time_budget=TimeBudget(3600))
    assert [candidate.stage for candidate in candidates] == ["head"] * 3 + ["all"] * 3
    monkeypatch.setattr("dmlcli.learn.training.stage_selection._WORTH_EPOCHS", {"all": 10**9, "top": 1})
    *_, last = trained(network, plan, recipe("auto"), time_budget=TimeBudget(3600))
    assert last.stage == "top"


def test_a_budget_holds_each_epoch_once_more_for_the_final_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both where it chooses what to train, and where it plans the epochs."""
    asked = recipe("auto")
    _, plan, network = planned(tmp_path, asked)
    fitted, photos = len(plan.folds[0].train.labels), plan.images_again
    assert photos == PRODUCTS * IMAGES > fitted
    monkeypatch.setattr(stage_selection, "_LEAST_IMAGES", 1)
    monkeypatch.setattr(stage_selection, "seconds_a_photo", lambda *_: 0.0)
    monkeypatch.setattr(stage_selection, "seconds_an_image", lambda *given: {"all": 1.0, "top": 0.5}[given[3].tune])
    for seconds, stage in ((4.5 * (fitted + photos), "all"), (3.5 * (fitted + photos), "top")):
        budget = TimeBudget(EXPORT + seconds)
        assert stage_selection.next_stage("head", network, plan, asked, CPU, budget).stage == stage

    ratios: list[float] = []

    def planning(*given: Any, refit_ratio: float, **others: Any) -> Any:
        ratios.append(refit_ratio)
        return EpochPlanner(*given, refit_ratio=refit_ratio, **others)

    monkeypatch.setattr("dmlcli.learn.training.epochs.EpochPlanner", planning)
    trained(network, plan, recipe("all", epochs=1), time_budget=TimeBudget(3600))
    assert ratios == [photos / fitted]


@pytest.mark.parametrize("batch_norm", ["frozen", "free"])
def test_batch_norms_are_folded_where_they_are_frozen(tmp_path: Path, batch_norm: str) -> None:
    """With the same gradients as without."""
    asked = recipe("all", batch_norm=batch_norm)
    _, plan, network = planned(tmp_path, asked)
    norm = nn.BatchNorm2d(12)
    norm.running_mean, norm.running_var = torch.randn(12), torch.rand(12) + 0.5
    tiny = Tiny()
    network.backbone = nn.Sequential(tiny.features[0], norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    stage = WholeStage(network, plan.folds[0], plan.head_params, asked, CPU)
    assert len(stage._batch_norms._pairs) == (batch_norm == "frozen")

    def gradients() -> list[Tensor]:
        stage.network.zero_grad(set_to_none=True)
        embeddings = stage.embed(torch.ones(4, 3, 32, 32) * torch.arange(4)[:, None, None, None])
        torch.autograd.backward(embeddings.square().sum())
        return [p.grad for p in stage.network.backbone.parameters() if p.grad is not None]

    found = gradients()
    stage._batch_norms = FrozenBatchNorms(None)
    expected = gradients()
    assert len(found) == 4
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_with_a_budget_the_last_epoch_has_a_score_in_any_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others only if scoring takes little of the time, or if training follows the scores."""
    _, plan, network = planned(tmp_path, recipe("all"))
    monkeypatch.setattr("dmlcli.learn.time_budget.is_costly", lambda *_: True)
    monkeypatch.setattr(EpochPlanner, "epochs", lambda *_: 3)
    for patience, scored in ((0, [3]), (9, [1, 2, 3])):
        asked = recipe("all", epochs=3, rate=0.01, patience=patience)
        found = trained(network, plan, asked, time_budget=TimeBudget(3600))
        assert [candidate.epochs for candidate in found if candidate.scores] == scored
    until = iter([float("inf")] * 3)
    monkeypatch.setattr(EpochPlanner, "until", lambda _: next(until, 0.0))
    *_, before, last = trained(network, plan, recipe("all", epochs=3, patience=0), time_budget=TimeBudget(3600))
    assert before.epochs == last.epochs < 3 and last.scores and not before.scores  # time ran out


def test_with_too_few_products_for_new_ones_the_careful_form_is_taken(tmp_path: Path) -> None:
    _, plan, network = planned(tmp_path, recipe("auto"), products=6)
    assert (
        plan.head_params == CONSERVATIVE and "most conservative" in plan.summary and set(plan.lda_scores[0]) == {"seen"}
    )
    assert not (trained(network, plan, recipe("auto")))
    _, sharp, network = planned(tmp_path / "seen", recipe("head", purpose="seen"), products=6)
    assert trained(network, sharp, recipe("head", purpose="seen"))


def test_features_that_are_no_numbers_are_reported(tmp_path: Path) -> None:
    _, plan, network = planned(tmp_path, recipe("all"))
    with torch.no_grad():
        network.backbone.top.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(TrainingError, match="epoch 1, step 1: NaN or infinity in the lengths of the embeddings"):
        (trained(network, plan, recipe("all")))


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_can_be_trained_with_the_backbone(tmp_path: Path, kind: str) -> None:
    asked = recipe("all", epochs=1, head=kind, batch_norm="free")
    data, plan, network = planned(tmp_path, asked)
    if kind == "identity":
        assert lda_candidate(plan).score is None
    (candidate,) = trained(network, plan, asked)
    shipped = refit.finish(data, plan, candidate, asked, CPU)
    assert shipped.head.settings.get("discriminative", "identity") == kind and candidate.score is not None


@pytest.mark.parametrize("kind", HEADS[:-1])
def test_every_head_starts_from_the_lda_head_and_learns(tmp_path: Path, kind: str) -> None:
    asked = recipe(head=kind, epochs=6, patience=0)
    _, plan, network = planned(tmp_path, asked)
    losses = epoch_losses(network, plan, asked)
    assert losses[-1] < losses[0]


def test_training_stops_when_it_no_longer_gets_better(tmp_path: Path) -> None:
    asked = recipe(epochs=400, rate=0.3)
    _, plan, network = planned(tmp_path, asked)
    candidates = trained(network, plan, asked)
    scores = [candidate.score or 0.0 for candidate in candidates]
    assert len(candidates) < 200 and max(scores[-6:]) <= max([lda_candidate(plan, first=True).score or 0, *scores[:-6]])


@pytest.mark.parametrize("how", ["top", "all"])
def test_a_trained_backbone_has_probabilities_and_a_threshold_for_unknown_products(tmp_path: Path, how: str) -> None:
    """From the embeddings by the network of the fold, of what it was fitted on and of what it held out."""
    asked = recipe(how, rate=0.01)
    data, plan, network = planned(tmp_path, asked)
    *_, best = trained(network, plan, asked)
    network.load_state_dict(best.state, strict=False)
    files = [data.photos.photo(item) for item in data.photos.items]
    seen = features_of(files, network.image, forward_of(network.headless(), CPU, search_dtype(CPU)))
    with torch.no_grad():
        expected = network.eval().head(seen).numpy()
    ((fold, vectors),) = embedded_folds(data, plan, best)
    used = sorted({*fold.train.rows, *fold.validation.searches.rows})
    assert fold is plan.folds[0] and len(used) > len(fold.train.rows)
    assert np.allclose(vectors[used], expected[used], atol=5e-3 if how == "top" else 1e-6)
    unseen = [
        row
        for row, item in enumerate(data.photos.items)
        if item.product not in {data.photos.items[row].product for row in fold.train.rows}
    ]
    closest = (expected[unseen] @ expected[list(fold.train.rows)].T).max(1)
    threshold = refit.unknown_product_threshold(plan, best)
    assert threshold == {"refused": 0.95, "threshold": pytest.approx(np.quantile(closest, 0.95), abs=5e-3), "folds": 1}


def test_an_image_passes_the_backbone_once_where_an_epoch_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though most of them are fitted on, and searched among."""
    asked, read = recipe("all", epochs=1), list[Photo]()
    _, plan, network = planned(tmp_path, asked)
    fold = plan.folds[0]

    def counted(files: list[Photo], *rest: Any) -> Tensor:
        read.extend(files)
        return features_of(files, *rest)

    monkeypatch.setattr("dmlcli.learn.training.backbone_stages.features_of", counted)
    stage = stage_selection.make_stage(network, fold, plan.head_params, asked, CPU)
    stage.evaluate()
    assert len(read) == len({*read}) == stage_selection.scored_images(fold)
    assert {*read} == {*fold.train.files, *fold.validation.files} and len(read) < len(fold.train.files) * 2


@pytest.mark.parametrize("how", ["head", "all"])
def test_a_seed_makes_it_repeatable(tmp_path: Path, how: str) -> None:
    losses = []
    for number, seed in enumerate((0, 0, 1)):
        asked = recipe(how, epochs=2, seed=seed)
        _, plan, network = planned(tmp_path / str(number), asked)
        torch.manual_seed(seed)
        losses.append(epoch_losses(network, plan, asked))
    assert losses[0] == losses[1] != losses[2]


DAMAGE = {
    "no trainer": lambda state: state.pop("trainer"),
    "no best": lambda state: state.pop("best"),
    "another stage": lambda state: state.update(stage="deep"),
    "no stage": lambda state: state.pop("stage"),
    "more of the best": lambda state: state["best"].update(color="red"),
    "scores of words": lambda state: state["best"].update(scores={"unseen": "good"}),
    "another shape of the best": lambda state: state["best"]["state"].update({"head.blend": torch.zeros(3)}),
    "another name in the best": lambda state: state["best"]["state"].update(ear=torch.zeros(3)),
    "nothing in the best": lambda state: state["best"].update(state={}, epochs=2),
    "another shape of the optimizer": lambda state: state["trainer"]["optimizer"]["state"][0].update(
        exp_avg=torch.zeros(3)
    ),
    "no modules": lambda state: state["trainer"].pop("modules"),
    "modules of another shape": lambda state: state["trainer"]["modules"].update(
        {name: torch.zeros(1) for name in state["trainer"]["modules"]}
    ),
    "an epoch of words": lambda state: state["trainer"].update(epoch="first"),
    "no random numbers": lambda state: state["trainer"].update(random=[]),
    "fewer rates than epochs": lambda state: state["best"].update(rates=()),
    "no rates": lambda state: state["trainer"].pop("rates"),
    "stale words": lambda state: state.update(stale="long"),
}


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> tuple[ValidationPlan, Network, bytes]:
    """What two epochs began with, and their checkpoint."""
    folder = tmp_path_factory.mktemp("halfway")
    asked = recipe(epochs=2)
    _, plan, network = planned(folder, asked)
    plan = replace(
        plan, lda_scores=[{"seen": 0.01, "unseen": 0.01}] * 3, frozen_scores=[{"seen": 0.0, "unseen": 0.0}] * 3
    )
    file = folder / "checkpoint.pt"
    (trained(deepcopy(network), plan, asked, Checkpoint(file)))
    return plan, network, file.read_bytes()


def test_a_resumed_run_trains_all_epochs_of_its_recipe(tmp_path: Path) -> None:
    """Though the time budget of the interrupted run had left fewer."""
    _, plan, network = planned(tmp_path, recipe(epochs=4, patience=0))
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    training = GradientTraining(network, plan, recipe(epochs=4, patience=0), CPU, checkpoint)
    next(epochs := training.epochs())
    next(epochs)  # the state after the first epoch is written when the second is asked for
    state = checkpoint.load()
    assert state is not None and state["trainer"]["epoch"] == 1
    state["trainer"]["epochs"] = 2
    torch.save(state, tmp_path / "checkpoint.pt")
    resumed = GradientTraining(network, plan, recipe(epochs=4, patience=0), CPU, Checkpoint(tmp_path / "checkpoint.pt"))
    assert [scored.epoch.number for scored in resumed.epochs()] == [2, 3, 4]


def test_a_worker_process_scores_no_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, plan, network = planned(tmp_path, recipe())
    stage = stage_selection.make_stage(network, plan.folds[0], plan.head_params, recipe(), CPU)
    found = stage.evaluate()
    assert found.vectors is not None and found.state
    monkeypatch.setattr("dmlcli.learn.training.distributed.is_main", lambda: False)
    assert stage.evaluate() == NOTHING


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(
    halfway: tuple[ValidationPlan, Network, bytes], tmp_path: Path, damage: str
) -> None:
    plan, network, checkpoint = halfway
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(checkpoint)
    state = torch.load(file, weights_only=True)
    assert state["best"]["epochs"] > 0
    DAMAGE[damage](state)
    torch.save(state, file)
    with pytest.raises(CannotRun, match=r"checkpoint\.pt is damaged") as caught:
        (trained(deepcopy(network), plan, recipe(epochs=2), Checkpoint(file)))
    assert "--resume" in caught.value.hint
