"""Every loss, found by its file name, against its own definition, the edge cases, and the reference values."""

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmlcli.errors import UsageError
from dmlcli.learn import losses
from dmlcli.learn.losses import pairwise, proxies, selection
from tests.places import DATA, ROOT

NAMES = losses.names()
LABELS = {
    "even": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "ragged": [2, 0, 1, 0, 0, 3, 0, 1, 2, 0, 0],
    "pairs": [0, 1, 2, 3, 0, 1, 2, 3],
}
CONSTANT_WEIGHTS = {"circle", "dynamic-soft-margin"}  # in the gradient, as their papers define them
EDGES = {"one label": [1, 1, 1, 1], "no positives": [0, 1, 2, 3], "one image": [2], "lonely": [0, 0, 1]}


def make(name: str, dim: int = 8, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return losses.load(name)(4, dim, **settings).double()


def batch(labels: list[int], dim: int = 8, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    return embeddings.requires_grad_(), torch.tensor(labels)


def value_of(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    """The value with the same random draws every time, for a loss that samples."""
    torch.manual_seed(0)
    value: Tensor = loss(embeddings, labels)
    return value


def draws(name: str, anchors: Tensor | None = None, others: Tensor | None = None) -> dict[str, Tensor]:
    """The triplets that a sampler would draw, for a batch (and its references) in another order."""
    if name != "margin":
        return {}
    triplets = torch.tensor([[0, 1, 2], [3, 2, 6], [5, 4, 1], [7, 6, 0]])
    if anchors is not None:
        triplets[:, 0] = torch.argsort(anchors)[triplets[:, 0]]
    if others is not None:
        triplets[:, 1:] = torch.argsort(others)[triplets[:, 1:]]
    return {"triplets": triplets}


def gradient(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> Tensor:
    return torch.autograd.grad(value_of(loss, embeddings, labels), embeddings)[0]


def variants(name: str) -> Iterator[dict[str, Any]]:
    """The defaults, then each setting that is a choice or a switch with each of its other values."""
    yield {}
    for setting in losses.describe(name).settings:
        others: list[Any] = [word for word in setting.choices if word != setting.default]
        if setting.kinds == ("bool",) and setting.name != "normalize":
            others = [not setting.default]
        yield from ({setting.name: value} for value in others)


CASES = [(name, settings) for name in NAMES for settings in variants(name)]


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{name}-{settings}" for name, settings in CASES])
def test_equals_its_definition(name: str, settings: dict[str, Any], labels: list[int]) -> None:
    loss = make(name, **settings)
    embeddings, y = batch(labels)
    value = value_of(loss, embeddings, y)
    torch.manual_seed(0)  # what a sampler drew is for the miners' own tests to judge
    expected = inspect.getmodule(type(loss)).definition(loss, embeddings, y)  # type: ignore[union-attr]
    assert torch.allclose(value, expected, rtol=1e-9, atol=1e-9)
    wanted = torch.autograd.grad(expected, embeddings)[0]
    assert torch.allclose(torch.autograd.grad(value, embeddings)[0], wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_batch_has_no_effect(name: str) -> None:
    loss = make(name)
    embeddings, labels = batch([0, 0, 1, 1, 2, 2, 3, 3])
    order = torch.tensor([7, 2, 0, 5, 1, 3, 6, 4])
    if losses.describe(name).sampler == "n-pair":  # which of two images is the anchor is the order's to say
        order = torch.tensor([6, 7, 2, 3, 0, 1, 4, 5])
    expected = loss(embeddings, labels, **draws(name))
    value = loss(embeddings[order], labels[order], **draws(name, order, order))
    assert torch.allclose(value, expected)


@pytest.mark.parametrize("name", sorted(set(NAMES) - CONSTANT_WEIGHTS))
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    loss = make(name, **({"detach_weights": False} if name == "ranked-list" else {}))
    embeddings, labels = batch(LABELS["ragged"])
    direction = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        step = 1e-6
        ahead, behind = (value_of(loss, embeddings + sign * step * direction, labels) for sign in (1, -1))
        difference = (ahead - behind) / (2 * step)
    assert torch.allclose((gradient(loss, embeddings, labels) * direction).sum(), difference, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_against_the_gradient_lowers_it(name: str) -> None:
    loss = make(name)
    embeddings, labels = batch(LABELS["even"])
    before, slope = value_of(loss, embeddings, labels), gradient(loss, embeddings, labels)
    assert slope.norm() > 0
    with torch.no_grad():
        assert value_of(loss, embeddings - 1e-4 * slope / slope.norm(), labels) < before


@pytest.mark.parametrize("labels", EDGES.values(), ids=EDGES.keys())
@pytest.mark.parametrize("name", NAMES)
def test_batches_with_little_to_learn_give_finite_gradients(name: str, labels: list[int]) -> None:
    loss = make(name)
    embeddings, y = batch(labels)
    value = loss(embeddings, y)
    value.backward()
    assert torch.isfinite(value) and embeddings.grad is not None and torch.isfinite(embeddings.grad).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in loss.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_and_zeros_give_finite_gradients(name: str) -> None:
    loss = make(name)
    embeddings, labels = batch(LABELS["even"])
    with torch.no_grad():
        embeddings[1] = embeddings[0]
        embeddings[4] = embeddings[0]
        embeddings[5] = 0
    assert torch.isfinite(gradient(loss, embeddings, labels)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_low_precision_and_autocast_stay_close(name: str, dtype: torch.dtype) -> None:
    loss = make(name)
    embeddings, labels = batch(LABELS["even"])
    rounded = embeddings.detach().to(dtype)
    expected = value_of(loss, rounded.double(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = value_of(loss.float(), rounded, labels)
    assert torch.allclose(value.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if losses.describe(name).takes_references])
def test_references_get_no_self_pairs(name: str) -> None:
    """The batch against itself as references differs only by each image being its own positive."""
    loss = make(name)
    embeddings, labels = batch(LABELS["even"])
    others, other_labels = batch(LABELS["ragged"], seed=2)
    value = loss(embeddings, labels, others, other_labels, **draws(name))
    order = torch.randperm(len(others), generator=torch.Generator().manual_seed(0))
    permuted = loss(embeddings, labels, others[order], other_labels[order], **draws(name, None, order))
    assert torch.allclose(value, permuted)
    slopes = torch.autograd.grad(value, [embeddings, others], allow_unused=True)
    assert torch.isfinite(slopes[0]).all() and slopes[1] is None


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_file_says_what_the_lists_need(name: str) -> None:
    info, loss = losses.describe(name), losses.load(name)
    assert info.summary and info.formula and info.use and info.source
    assert info.sampler in losses.SAMPLERS
    assert all(setting.meaning for setting in info.settings)
    for fact in ("family", "sampler", "takes_references", "learning_rate_factor"):
        assert getattr(info, fact) == getattr(loss, fact)
    constructor = inspect.signature(loss).parameters
    assert [s.default for s in info.settings] == [constructor[s.name].default for s in info.settings]
    assert list(constructor)[:2] == ["num_labels", "embedding_dim"]
    letters = {"C": "num_labels", "D": "embedding_dim", "K": "num_centers"}
    sizes = {"num_labels": 5, "embedding_dim": 7, "num_centers": 3}
    module = loss(**{key: size for key, size in sizes.items() if key in constructor})
    expected = {p.name: [sizes[letters[letter]] for letter in re.findall(r"\w", p.shape)] for p in info.parameters}
    assert {key: list(parameter.shape) for key, parameter in module.named_parameters()} == expected


def test_a_spec_sets_what_it_names() -> None:
    loss: Any = losses.build("triplet:mining=batch-hard,margin=0.3,distance=euclidean", 3, 8)
    assert (loss.mining, loss.margin, loss.distance) == ("batch-hard", 0.3, "euclidean")


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("proxi-anchor", "unknown loss 'proxi-anchor'", "proxy-anchor"),
        ("triplet:margn=1", "no setting 'margn'", "margin"),
        ("triplet:margin=big", "triplet:margin=big \(expected a number\)", "dmlcli losses triplet"),
        ("triplet:mining=hardest", "mining=hardest", "dmlcli losses triplet"),
        ("triplet:margin=nan", "triplet:margin=nan \(expected a number\)", "dmlcli losses triplet"),
        ("inf*triplet", "'inf' is not a valid weight for loss triplet", "0.5*triplet"),
        ("triplet:margin", "no setting 'margin'", "margin"),
        ("softmax+0.5*triplte", "unknown loss 'triplte'", "triplet"),
        ("softmax+triplet:margn=1", "no setting 'margn'", "margin"),
        ("x*triplet", "'x' is not a valid weight for loss triplet", "0.5*triplet"),
        (
            "recall-at-k:k_vals=1,two",
            "k_vals=1,two \(expected integers separated by commas\)",
            "dmlcli losses recall-at-k",
        ),
        ("nca:k=some", "k=some \(expected an integer or none\)", "dmlcli losses nca"),
        ("", "unknown loss ''", "proxy-anchor"),
    ],
)
def test_a_wrong_spec_is_answered_with_the_right_ones(spec: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        losses.parse(spec)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hyperbolic:curvature=0", "curvature must be above 0, not 0"),
        ("manifold:alpha=1", "alpha must be 0 to below 1"),
        ("dynamic-soft-margin:momentum=0", "momentum above 0 to 1, not 512 and 0.0"),
        ("large-margin-softmax:margin=0", "margin must be at least 1, not 0"),
        ("softmax+sphereface:margin=-1", "invalid value for --loss: sphereface: margin must be at least 1, not -1"),
        ("pnp:temperature=0", "temperature must be above 0, not 0"),
        ("roadmap:delta=-1", "delta must be at least 0, not -1"),
        ("embedding-norm:power=0", "power must be at least 1, not 0"),
        ("vicreg:eps=0", "eps must be above 0"),
        ("angular:alpha=90", "alpha must be 0 to 89, not 90"),
        ("recall-at-k:k_vals=2,0", "k_vals must be at least 1, not 0"),
        ("nca:k=0", "k must be at least 1, not 0"),
        ("soft-triple:num_centers=0", "num_centers must be at least 1, not 0"),
        ("histogram:num_bins=0", "num_bins must be at least 1, not 0"),
        ("softmax:label_smoothing=1.5", "label_smoothing must be 0 to 1, not 1.5"),
    ],
)
def test_a_value_out_of_range_is_a_usage_error(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        losses.build(spec, 3, 8)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_of_zero_is_finite_or_an_error(name: str) -> None:
    """Each number in turn: what divides by it, or takes its logarithm, refuses it."""
    embeddings, labels = batch(LABELS["even"])
    for setting in losses.describe(name).settings:
        if {"float", "int"} & {*setting.kinds}:
            try:
                loss = make(name, **{setting.name: 0})
            except ValueError as error:
                assert setting.name in str(error)
                continue
            assert torch.isfinite(gradient(loss, embeddings, labels)).all(), setting.name


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("triplet", [(1.0, "triplet", {})]),
        ("softmax+0.5*triplet:margin=0.3", [(1.0, "softmax", {}), (0.5, "triplet", {"margin": 0.3})]),
        (
            "5e-4*center+triplet:margin=1e+1,soft=true",
            [(5e-4, "center", {}), (1.0, "triplet", {"margin": 10.0, "soft": True})],
        ),
        ("recall-at-k:k_vals=1,2,4,tau1=2", [(1.0, "recall-at-k", {"k_vals": (1, 2, 4), "tau1": 2.0})]),
        ("nca:k=none", [(1.0, "nca", {"k": None})]),
    ],
)
def test_a_spec_says_what_is_summed(spec: str, expected: list[tuple[float, str, dict[str, Any]]]) -> None:
    assert list(losses.parse(spec)) == [losses.Term(*term) for term in expected]


def test_a_sum_is_the_weighted_sum() -> None:
    torch.manual_seed(0)
    total: Any = losses.build("softmax+0.5*triplet:margin=0.3+2*margin", 4, 8).double()
    embeddings, labels = batch(LABELS["even"])
    parts = [value_of(loss, embeddings, labels) for loss in total.losses]
    assert torch.allclose(value_of(total, embeddings, labels), parts[0] + 0.5 * parts[1] + 2 * parts[2])
    assert (total.sampler, total.takes_references) == ("pk", False)
    groups = losses.parameter_groups(total, 1e-3)
    assert [(len(group["params"]), group["lr"]) for group in groups] == [(2, 1e-3), (1, 0.05)]


def test_a_sum_takes_references_where_all_its_losses_do() -> None:
    total: Any = losses.build("contrastive+0.1*supcon", 4, 8)
    assert total.takes_references
    (embeddings, labels), (others, other_labels) = batch(LABELS["even"]), batch(LABELS["ragged"], seed=2)
    parts = [loss(embeddings, labels, others, other_labels) for loss in total.losses]
    assert torch.allclose(total(embeddings, labels, others, other_labels), parts[0] + 0.1 * parts[1])
    assert losses.build("n-pair+triplet", 4, 8).sampler == "n-pair"


def random_batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Ragged, with copies, of one label, of one image, of nearly equal images, of zeros."""
    generator = torch.Generator().manual_seed(0)

    def below(high: int) -> int:
        return int(torch.randint(high, (1,), generator=generator))

    for number in range(count):
        size, spread = (1, 2, 3, 7, 12)[below(5)], (1.0, 1e-4, 1e3, 0.0)[below(4)]
        center = torch.randn(6, generator=generator) * below(2)
        embeddings = center + spread * torch.randn(size, 6, generator=generator)
        copies = torch.randint(size, (size,), generator=generator)
        embeddings = embeddings[copies] if number % 3 == 0 else embeddings
        yield embeddings.requires_grad_(), torch.randint(1 + below(5), (size,), generator=generator)


def assert_finite_on_random_batches(count: int) -> None:
    modules = {name: losses.load(name)(5, 6) for name in NAMES}
    for number, (embeddings, labels) in enumerate(random_batches(count)):
        for name, loss in modules.items():
            value = loss(embeddings, labels)
            inputs = [embeddings, *loss.parameters()]
            slopes = torch.autograd.grad(value, inputs, allow_unused=True)
            finite = all(slope is None or torch.isfinite(slope).all() for slope in slopes)
            assert torch.isfinite(value) and slopes[0] is not None and finite, f"{name}, batch {number}, {labels}"


def test_random_batches_give_no_nan() -> None:
    assert_finite_on_random_batches(50)


@pytest.mark.slow
def test_two_thousand_random_batches_give_no_nan() -> None:
    assert_finite_on_random_batches(2000)


def test_nothing_to_learn_from_is_a_zero_with_a_zero_gradient() -> None:
    """Of section 4 of the specification: pair losses without any pair, and ranking losses with one image."""
    for name in NAMES:
        if losses.describe(name).family not in ("proxy", "classifier", "regularizer"):
            loss = make(name)
            embeddings, labels = batch([2])
            value = loss(embeddings, labels)
            value.backward()
            assert value == 0 and embeddings.grad is not None and not embeddings.grad.any(), name


def test_many_proxies_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of the similarity matrix give the same value and gradients as the whole."""
    embeddings, labels = batch(LABELS["even"])
    for name in NAMES:
        if losses.describe(name).family in ("proxy", "classifier"):
            loss = make(name)
            parameters = list(loss.parameters())
            whole = torch.autograd.grad(loss(embeddings, labels), [embeddings, *parameters])
            with monkeypatch.context() as patch:
                patch.setattr(proxies, "LARGEST", 20)
                sliced = torch.autograd.grad(loss(embeddings, labels), [embeddings, *parameters])
            assert all(torch.allclose(a, b) for a, b in zip(whole, sliced, strict=True)), name


@pytest.mark.slow
def test_adding_a_loss_is_one_file(begun: Path, shop: Path, tmp_path: Path) -> None:
    """A new file dropped into a copy of the project is listed, held to the shared tests, and trained with."""
    for name in ("dmlcli", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    folder = tmp_path / "dmlcli" / "learn" / "losses"
    text = (folder / "multi_similarity.py").read_text().replace("class MultiSimilarity", "class BrandNew")
    (folder / "brand_new.py").write_text(text.replace("loss: MultiSimilarity", "loss: BrandNew"))

    def run(*command: str) -> str:
        arguments = [sys.executable, "-m", *command]
        return subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "brand-new" in run("dmlcli", "losses")
    shared = "tests/learn/losses/test_losses.py"
    checked = run("pytest", shared, "-k", "brand-new and not one_file", "-p", "no:cacheprovider")
    assert checked.count(".") > 10
    options = ["--backbone", "descriptor", "--tune", "head", "--epochs", "1", "--no-index", "-w", str(begun)]
    trained = run("dmlcli", "train", str(shop), "--loss", "brand-new", *options)
    assert "model" in trained
    record = json.loads((begun / "model" / "model.json").read_text())
    assert record["recipe"]["loss"] == "brand-new"


def test_loss_files_import_only_torch_math_and_what_losses_share() -> None:
    torch_parts = {"torch", "torch.nn", "torch.autograd.function", "torch.utils.checkpoint"}
    allowed = {
        "collections.abc",
        "math",
        "typing",
        "dmlcli.learn.losses",
        "dmlcli.learn.losses.distances",
        "dmlcli.learn.losses.interface",
    } | torch_parts
    for name in NAMES:
        source = Path(inspect.getfile(losses.load(name))).read_text()
        imports = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
        imports |= {a.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for a in node.names}
        assert imports <= allowed, f"{name} imports {imports - allowed}"


ORACLE = DATA / "oracle"  # reference values of slow implementations written from the formulas; see its README
CASES_OF_ORACLE: list[dict[str, Any]] = json.loads((ORACLE / "losses.json").read_text())["cases"]
LOSS_CASES = [case for case in CASES_OF_ORACLE if case["loss"] in NAMES]
MINER_CASES = [case for case in CASES_OF_ORACLE if case["loss"].startswith("miner:")]


@pytest.fixture(scope="module")
def arrays() -> Iterator[Any]:
    with np.load(ORACLE / "losses.npz") as file:
        yield file


def test_every_loss_of_the_reference_values_exists() -> None:
    assert {case["loss"] for case in CASES_OF_ORACLE if ":" not in case["loss"]} <= {*NAMES, "xbm-ring"}


def settings_of(case: dict[str, Any]) -> dict[str, Any]:
    """The settings of a case; the names of distances are newer than the reference values."""
    settings = dict(case["hyper"])
    if "squared" in settings:
        settings["distance"] = "squared-euclidean" if settings.pop("squared") else "euclidean"
    if settings.get("distance") == "squared":
        settings["distance"] = "squared-euclidean"
    return settings


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: case["id"])
def test_equals_the_reference_values(case: dict[str, Any], dtype: torch.dtype, arrays: Any) -> None:
    def read(key: str) -> Tensor | None:
        name = f"{case['id']}/{key}"
        return torch.tensor(arrays[name]) if name in arrays else None

    def real(key: str) -> Tensor | None:
        tensor = read(key)
        return None if tensor is None else tensor.to(dtype)

    embeddings, labels = real("emb"), read("labels")
    assert embeddings is not None and labels is not None
    params = {key: real(f"param/{key}") for key in case["params"]}
    num_labels = max([int(labels.max()) + 1, *(shape[0] for key, shape in case["params"].items() if key != "triplets")])
    loss = losses.load(case["loss"])(num_labels, embeddings.shape[1], **settings_of(case)).to(dtype)
    triplets = read("param/triplets") if params.pop("triplets", None) is not None else None
    for key, parameter in params.items():
        getattr(loss, key).data = parameter
    embeddings.requires_grad_()
    value = loss(embeddings, labels, real("ref_emb"), read("ref_labels"), triplets=triplets)
    torch.autograd.backward(value)
    assert embeddings.grad is not None and torch.isfinite(embeddings.grad).all()

    exact = dtype == torch.float64
    value_tolerance = 1e-6 if exact else 1e-4 if case["tag"] == "stability" else 1e-5
    gradient_tolerance = 1e-5 if exact else 1e-2 if case["tag"] == "stability" else 1e-4
    assert abs(value.item() - case["value"]) <= value_tolerance * max(1.0, abs(case["value"]))
    if case["grad_check"] != "full":
        return
    found = {"grad": embeddings.grad} | {f"grad_param/{key}": getattr(loss, key).grad for key in params}
    for key, actual in found.items():
        wanted = read(key)
        assert wanted is not None
        floor = 1.0 if exact else 1e-3
        assert (actual - wanted).abs().max() <= gradient_tolerance * max(floor, float(wanted.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_reference_batches_stay_finite_under_autocast(name: str, arrays: Any) -> None:
    for case in LOSS_CASES:
        if case["loss"] == name:
            embeddings = torch.tensor(arrays[f"{case['id']}/emb"], dtype=torch.bfloat16).requires_grad_()
            labels = torch.tensor(arrays[f"{case['id']}/labels"])
            loss = losses.load(name)(int(labels.max()) + 1, embeddings.shape[1], **settings_of(case))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value = loss(embeddings, labels)
            torch.autograd.backward(value)
            assert value.dtype == torch.float32 and torch.isfinite(value), case["id"]
            assert embeddings.grad is not None and torch.isfinite(embeddings.grad).all(), case["id"]


@pytest.mark.parametrize("case", MINER_CASES, ids=lambda case: case["id"])
def test_miners_equal_the_reference_values(case: dict[str, Any], arrays: Any) -> None:
    def read(key: str) -> Tensor:
        return torch.tensor(arrays[f"{case['id']}/{key}"])

    images, labels = pairwise.prepare(read("emb"), normalize=True), read("labels")
    others, other_labels = images, None
    if case["refs"]:
        others, other_labels = pairwise.prepare(read("ref_emb"), normalize=True), read("ref_labels")
    positive, negative = pairwise.masks(labels, other_labels)
    distance = pairwise.root(pairwise.squared_distance(images, others))
    if case["loss"] == "miner:multi-similarity":
        similarity = pairwise.similarity(images, others)
        hard = selection.multi_similarity_pairs(similarity, positive, negative, case["hyper"]["epsilon"])
        assert torch.equal(hard[0], read("pos_mask")) and torch.equal(hard[1], read("neg_mask"))
    elif case["loss"] == "miner:batch-hard":
        farthest, nearest, valid = selection.batch_hard(distance, positive, negative)
        triplets = torch.stack([torch.arange(len(images)), farthest, nearest], dim=-1)[valid]
        assert torch.equal(triplets, read("triplets").reshape(-1, 3))
    else:
        weights = selection.distance_weights(distance, negative, images.shape[1], **case["hyper"])
        assert torch.allclose(weights, read("weights"), rtol=1e-6, atol=1e-9)


def test_negatives_are_drawn_by_their_weights() -> None:
    positive = torch.tensor([[False, True, False, False], [True, False, False, False], *[[False] * 4] * 2])
    weights = torch.tensor([[0, 0, 0.25, 0.75], [0, 0, 0, 1.0], [0.5, 0.5, 0, 0], [0.0, 0, 0, 0]])
    torch.manual_seed(0)
    drawn = torch.stack([selection.draw_negatives(positive, weights) for _ in range(400)])  # (400, 2, 3)
    assert torch.equal(drawn[:, :, :2], torch.tensor([[0, 1], [1, 0]]).expand(400, 2, 2))
    assert set(drawn[:, 0, 2].tolist()) == {2, 3} and abs((drawn[:, 0, 2] == 3).double().mean() - 0.75) < 0.07
    assert (drawn[:, 1, 2] == 3).all()
    assert selection.draw_negatives(positive & False, weights).shape == (0, 3)
