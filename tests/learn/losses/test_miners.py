"""Every miner, found by its file name, against its own definition; every miner with every loss that takes one."""

import inspect
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import losses as benchmark
from dmlcli.errors import UsageError
from dmlcli.learn import losses
from dmlcli.learn.losses import miners, pairwise, selection
from tests.places import ROOT

NAMES = miners.names()
TAKERS = [name for name in losses.names() if losses.describe(name).takes_miners]
LABELS = {"even": [0, 0, 0, 1, 1, 1, 2, 2, 2], "ragged": [2, 0, 1, 0, 0, 3, 0, 1, 2, 0], "one label": [1, 1, 1]}


def batch(labels: list[int], seed: int = 1, dim: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(labels), dim, generator=generator, dtype=torch.float64).requires_grad_(), torch.tensor(
        labels
    )


def random_batch(seed: int) -> tuple[Tensor, Tensor]:
    """Ragged labels, and embeddings near enough to each other for every rule to select some and leave some."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (12,), generator=generator)
    centers = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    noise = torch.randn(12, 8, generator=generator, dtype=torch.float64)
    return (0.5 * centers[labels] + noise).requires_grad_(), labels


def variants(name: str) -> list[dict[str, Any]]:
    choices = [(s.name, word) for s in miners.describe(name).settings for word in s.choices if word != s.default]
    return [{}, *({key: word} for key, word in choices)]


def as_sets(selected: Any) -> Any:
    if isinstance(selected, Tensor):
        return {tuple(row) for row in selected.tolist()}
    return tuple({tuple(row) for row in mask.nonzero().tolist()} for mask in selected)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize(("name", "settings"), [(name, settings) for name in NAMES for settings in variants(name)])
def test_equals_its_definition(name: str, settings: dict[str, Any], labels: list[int]) -> None:
    miner: Any = miners.load(name)(**settings)
    embeddings, y = batch(labels)
    torch.manual_seed(0)
    selected = as_sets(miner(embeddings, y))
    torch.manual_seed(0)
    unit = torch.nn.functional.normalize(embeddings.detach())
    assert selected == inspect.getmodule(type(miner)).definition(miner, unit, y)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_selects_among_references(name: str) -> None:
    (embeddings, labels), (others, other_labels) = batch(LABELS["even"]), batch(LABELS["ragged"], seed=2)
    selected: Any = miners.load(name)()(embeddings, labels, others, other_labels)
    triplets = selected if isinstance(selected, Tensor) else selection.all_triplets(*selected)
    anchors, positives, negatives = triplets.unbind(-1)
    assert len(triplets) or name == "pair-margin"  # random directions are farther apart than its margin
    assert (labels[anchors] == other_labels[positives]).all() and (labels[anchors] != other_labels[negatives]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_miner_file_says_what_the_lists_need(name: str) -> None:
    info = miners.describe(name)
    assert info.summary and info.rule and info.source and all(setting.meaning for setting in info.settings)
    constructor = inspect.signature(miners.load(name)).parameters
    if info.settings:
        assert [s.default for s in info.settings] == [constructor[s.name].default for s in info.settings]


@pytest.mark.parametrize("loss", TAKERS)
@pytest.mark.parametrize("name", NAMES)
def test_any_miner_goes_with_any_loss(name: str, loss: str) -> None:
    """Finite values and gradients, the same in any order, and the same by masks as by indices."""
    torch.manual_seed(0)
    module: Any = losses.build(f"{loss}:miner={name}", 4, 8).double()
    for labels in [*LABELS.values(), [2]]:
        embeddings, y = batch(labels)
        torch.manual_seed(0)
        value = module(embeddings, y)
        (slope,) = torch.autograd.grad(value, embeddings)
        assert torch.isfinite(value) and torch.isfinite(slope).all()
        torch.manual_seed(0)
        selected = module.miner(embeddings, y)
        if isinstance(selected, Tensor):
            again = module.loss(embeddings, y, triplets=selected.unbind(-1))
        else:
            again = module.loss(embeddings, y, pairs=[*selected[0].nonzero(as_tuple=True), *selected[1].nonzero().T])
        assert torch.allclose(value, again)
        if name != "distance-weighted":
            order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
            assert torch.allclose(module(embeddings[order], y[order]), value)


@pytest.mark.parametrize("loss", [name for name in TAKERS if losses.describe(name).takes_references])
def test_mined_pairs_may_come_from_a_memory(loss: str) -> None:
    (embeddings, labels), (others, other_labels) = batch(LABELS["even"]), batch(LABELS["ragged"], seed=2)
    for name in NAMES:
        module: Any = losses.build(f"{loss}:miner={name}", 4, 8).double()
        assert module.takes_references
        assert torch.isfinite(module(embeddings, labels, others, other_labels))


def test_the_settings_of_a_miner_are_part_of_the_spec() -> None:
    module: Any = losses.build("0.5*contrastive:neg_margin=0.7,miner=multi-similarity,miner.epsilon=0.3+softmax", 4, 8)
    mined = module.losses[0]
    assert (mined.loss.neg_margin, mined.miner.epsilon, module.sampler) == (0.7, 0.3, "pk")
    assert type(losses.build("triplet:miner=none", 4, 8)) is losses.load("triplet")


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("contrastive:miner=multi-similarty", "miner=multi-similarty", "dmlcli losses contrastive"),
        ("contrastive:miner=all,miner.epsilon=1", "no setting 'miner.epsilon'", "miner"),
        ("softmax:miner=all", "no setting 'miner'", "label_smoothing"),
        ("triplet:mining=batch-hard,miner=all", "mining or miner, not both", "leave out mining"),
    ],
)
def test_a_wrong_miner_is_answered(spec: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        losses.parse(spec)
    assert hint in caught.value.hint


@pytest.mark.parametrize("spec", ["hdc,miner.share=2", "hdc,miner.share=0", "top-n,miner.positives=0"])
def test_a_setting_of_a_miner_that_is_out_of_range_is_answered(spec: str) -> None:
    with pytest.raises(UsageError, match="must be"):
        losses.build(f"contrastive:miner={spec}", 4, 8)


@pytest.mark.parametrize("name", ["sphereface", "large-margin-softmax"])
def test_a_negative_weight_of_the_plain_softmax_is_answered(name: str) -> None:
    with pytest.raises(UsageError, match="lam must be at least 0"):
        losses.build(f"{name}:lam=-1", 4, 8)


def test_pairs_and_triplets_of_a_wrong_form_are_refused() -> None:
    embeddings, labels = batch(LABELS["even"])
    contrastive, triplet, softmax = (
        losses.build(name, 4, 8).double() for name in ("contrastive", "triplet", "softmax")
    )
    one, two = torch.tensor([0]), torch.tensor([1, 2])
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (softmax, {"pairs": (one, one, one, one)}, "does not take pairs or triplets"),
        (contrastive, {"pairs": (one, one, one)}, r"or indices \(a, p, b, n\)"),
        (contrastive, {"pairs": (one, two, one, one)}, "1-D and of one length"),
        (contrastive, {"pairs": (one, one + 9, one, one)}, "must be 0 to 8, not 9 to 9"),
        (contrastive, {"pairs": (one, one + 0.5, one, one)}, "must be integers"),
        (contrastive, {"pairs": (one, one, one, one), "triplets": (one, one, one)}, "exclude each other"),
        (triplet, {"triplets": (one, one)}, r"of shape \(T, 3\)"),
        (triplet, {"triplets": (one, one, one - 2)}, "must be 0 to 8, not -2"),
    ]
    for loss, given, message in cases:
        with pytest.raises(ValueError, match=message):
            loss(embeddings, labels, **given)


def test_no_pairs_are_a_zero_with_a_zero_gradient() -> None:
    none = torch.zeros(0, dtype=torch.long)
    for name in TAKERS:
        embeddings, labels = batch(LABELS["even"])
        module: Any = losses.build(name + (":zero_mean=0" if name == "signal-to-noise" else ""), 4, 8).double()
        for given in ({"pairs": (none, none, none, none)}, {"triplets": (none, none, none)}):
            value = module(embeddings, labels, **given)
            (slope,) = torch.autograd.grad(value, embeddings)
            assert value == 0 and not slope.any(), name


THEIR_LOSSES = [
    "contrastive", "triplet:mining=batch-all", "margin", "multi-similarity", "circle", "nt-xent", "tuplet-margin",
    "signal-to-noise",
]  # fmt: skip
# as zeros in the mean over positive pairs; ours leaves out the pairs of such an anchor
THEIRS_COUNT_ANCHORS_WITHOUT_NEGATIVES = ("nt-xent", "tuplet-margin")
needs_theirs = pytest.mark.skipif(
    find_spec("pytorch_metric_learning") is None, reason="pytorch-metric-learning is not installed"
)


def assert_miners_equal(draws: int) -> None:
    from pytorch_metric_learning import miners as theirs

    for spec, create in benchmark.MINERS.items():
        if spec == "distance-weighted":
            continue  # random draws
        name = spec.partition(":")[0]
        miner, other = benchmark.miner(spec), create(theirs)
        for seed in range(draws):
            embeddings, labels = random_batch(seed)
            selected = as_sets(miner(embeddings, labels))
            unit = torch.nn.functional.normalize(embeddings.detach())
            columns = [column.tolist() for column in other(unit, labels)]  # theirs of angles is right on unit vectors
            if len(columns) == 4:
                given: Any = (set(zip(*columns[:2], strict=True)), set(zip(*columns[2:], strict=True)))
                if isinstance(selected, set):  # one triplet for each anchor
                    given = {(a, p, n) for a, p in given[0] for b, n in given[1] if a == b}
            else:
                given = set(zip(*columns, strict=True))
                if isinstance(selected, tuple):
                    given = {(a, p) for a, p, _ in given}, {(a, n) for a, _, n in given}
            if name == "hdc":  # theirs may keep a pair without its reverse: ours then keeps both
                assert all(len(ours - own) <= 1 and own <= ours for ours, own in zip(selected, given, strict=True))
            else:
                assert selected == given, (spec, seed)


def assert_losses_equal(draws: int) -> None:
    contests = {contest.spec: contest for contest in benchmark.contests()}
    for spec in THEIR_LOSSES:
        torch.manual_seed(0)
        ours: Any = losses.build(spec, 4, 8).double()
        theirs: Any = benchmark.theirs(contests[spec], 4, 8)
        for seed in range(draws):
            embeddings, labels = random_batch(seed)
            positive, negative = pairwise.masks(labels)
            kept = torch.rand(positive.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
            positive, negative = positive & kept, negative & kept
            if spec in THEIRS_COUNT_ANCHORS_WITHOUT_NEGATIVES:
                positive &= negative.any(-1, keepdim=True)
            pairs = [*positive.nonzero().T, *negative.nonzero().T]
            expected = their_loss(theirs)(embeddings, labels, tuple(pairs))
            found = ours(embeddings, labels, pairs=pairs)
            assert torch.allclose(found, expected.double(), rtol=1e-6, atol=1e-9), (spec, seed, found, expected)


def assert_goes_with_all_losses(name: str, draws: int) -> None:
    """Finite values and gradients, the same in any order, and what theirs makes of the same indices."""
    contests = {
        contest.spec.partition(":")[0]: contest for contest in benchmark.contests() if contest.spec in THEIR_LOSSES
    }
    for loss in TAKERS:
        torch.manual_seed(0)
        module: Any = losses.build(f"{loss}:miner={name}", 4, 8).double()
        theirs: Any = benchmark.theirs(contests[loss], 4, 8) if loss in contests else None
        for seed in range(draws):
            embeddings, labels = random_batch(seed)
            selected = module.miner(embeddings, labels)
            key = "pairs" if isinstance(selected, tuple) else "triplets"
            value = module.loss(embeddings, labels, **{key: selected})
            (slope,) = torch.autograd.grad(value, embeddings)
            assert torch.isfinite(value) and torch.isfinite(slope).all(), (loss, seed)
            if name != "distance-weighted":  # random draws
                order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
                assert torch.allclose(module(embeddings[order], labels[order]), value), (loss, seed)
            if theirs is not None:
                given = their_indices(loss, selected, len(labels))
                if max(map(len, given)) > 1:  # theirs is 0 for a single pair of each kind
                    expected = their_loss(theirs)(embeddings, labels, given).double()
                    assert torch.allclose(value, expected, rtol=1e-6, atol=1e-9), (loss, seed, value, expected)


def their_indices(loss: str, selected: Any, size: int) -> tuple[Tensor, ...]:
    """What we select as indices for theirs, which count a pair of several triplets several times."""
    if isinstance(selected, Tensor) and loss in ("triplet", "margin"):
        return selected.unbind(-1)
    if isinstance(selected, Tensor):
        a, p, n = selected.unbind(-1)
        selected = selection.pair_masks((a, p, a, n), (size, size), a.device)
    positive, negative = selected
    if loss in THEIRS_COUNT_ANCHORS_WITHOUT_NEGATIVES:
        positive = positive & negative.any(-1, keepdim=True)
    return (*positive.nonzero().T, *negative.nonzero().T)


def their_loss(theirs: Any) -> Any:
    """The loss alone where a contest pairs it with a miner."""
    return inspect.getclosurevars(theirs).nonlocals["loss"] if inspect.isfunction(theirs) else theirs


@needs_theirs
@pytest.mark.parametrize("name", NAMES)
def test_goes_with_all_losses_in_three_draws(name: str) -> None:
    assert_goes_with_all_losses(name, 3)


@needs_theirs
def test_selects_what_pytorch_metric_learning_does() -> None:
    assert_miners_equal(20)


@needs_theirs
def test_equals_the_index_form_of_pytorch_metric_learning() -> None:
    assert_losses_equal(20)


@needs_theirs
@pytest.mark.slow
def test_equals_pytorch_metric_learning_in_500_draws() -> None:
    assert_miners_equal(500)
    assert_losses_equal(500)


@pytest.mark.slow
def test_adding_a_miner_is_one_file(begun: Path, shop: Path, tmp_path: Path) -> None:
    """A new file dropped into a copy of the project is held to the shared tests and trained with."""
    for name in ("dmlcli", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    folder = tmp_path / "dmlcli" / "learn" / "losses" / "miners"
    text = (folder / "top_n.py").read_text().replace("class TopN", "class BrandNew")
    (folder / "brand_new.py").write_text(text.replace("miner: TopN", "miner: BrandNew"))

    def run(*command: str) -> str:
        arguments = [sys.executable, "-m", *command]
        return subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    shared = "tests/learn/losses/test_miners.py"
    checked = run("pytest", shared, "-k", "brand-new and not one_file", "-p", "no:cacheprovider")
    assert checked.count(".") > 10
    spec = "contrastive:miner=brand-new,miner.negatives=2"
    options = ["--backbone", "descriptor", "--tune", "head", "--epochs", "1", "--no-index", "-w", str(begun)]
    assert "model" in run("dmlcli", "train", str(shop), "--loss", spec, *options)
    record = json.loads((begun / "model" / "model.json").read_text())
    assert record["recipe"]["loss"] == spec
