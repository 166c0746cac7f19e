"""Every loss, found by its file name, against its own definition, the edge cases, and the reference values."""

import ast
import inspect
import json
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
from tests.places import SHARED

NAMES = losses.names()
LABELS = {
    "even": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "ragged": [2, 0, 1, 0, 0, 3, 0, 1, 2, 0, 0],
    "pairs": [0, 1, 2, 3, 0, 1, 2, 3],
}
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
def test_order_of_the_batch_does_not_matter(name: str) -> None:
    loss = make(name)
    embeddings, labels = batch([0, 0, 1, 1, 2, 2, 3, 3])
    order = torch.tensor([7, 2, 0, 5, 1, 3, 6, 4])
    if losses.describe(name).sampler == "n-pair":  # which of two images is the anchor is the order's to say
        order = torch.tensor([6, 7, 2, 3, 0, 1, 4, 5])
    expected = loss(embeddings, labels, **draws(name))
    value = loss(embeddings[order], labels[order], **draws(name, order, order))
    assert torch.allclose(value, expected)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"circle"}))  # its weights are constants in the gradient
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
    assert info.summary and info.source
    assert info.sampler in ("random", "pk", "n-pair")
    for fact in ("family", "sampler", "takes_references", "learning_rate_factor"):
        assert getattr(info, fact) == getattr(loss, fact)
    constructor = inspect.signature(loss).parameters
    assert [s.default for s in info.settings] == [constructor[s.name].default for s in info.settings]
    assert list(constructor)[:2] == ["num_labels", "embedding_dim"]


def test_a_spec_sets_what_it_names() -> None:
    loss: Any = losses.build("triplet:mining=batch-hard,margin=0.3,squared=false", 3, 8)
    assert (loss.mining, loss.margin, loss.squared) == ("batch-hard", 0.3, False)


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("proxi-anchor", "there is no loss 'proxi-anchor'", "proxy-anchor"),
        ("triplet:margn=1", "no setting 'margn=1'", "margin"),
        ("triplet:margin=big", "margin takes float, not 'big'", "dmlcli losses triplet"),
        ("triplet:mining=hardest", "not 'hardest'", "dmlcli losses triplet"),
        ("triplet:margin", "no setting 'margin'", "margin"),
    ],
)
def test_a_wrong_spec_is_answered_with_the_right_ones(spec: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        losses.parse(spec)
    assert hint in caught.value.hint


def test_adding_a_loss_is_one_file(tmp_path: Path) -> None:
    """A new file in a copy of the package is listed, described and built."""
    root = Path(losses.__file__).parents[3]
    shutil.copytree(root / "dmlcli", tmp_path / "dmlcli", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "dmlcli" / "learn" / "losses"
    text = (folder / "multi_similarity.py").read_text().replace("class MultiSimilarity", "class BrandNew")
    (folder / "brand_new.py").write_text(text.replace("loss: MultiSimilarity", "loss: BrandNew"))
    code = (
        "from dmlcli.learn import losses;"
        "print(losses.describe('brand-new').family, losses.build('brand-new:base=0.4', 2, 4).base)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pair", "0.4"]


def test_loss_files_import_only_torch_math_and_pairs() -> None:
    allowed = {"torch", "math", "typing", "dmlcli.learn.losses", "torch.nn", "torch.utils.checkpoint"}
    for name in NAMES:
        source = Path(inspect.getfile(losses.load(name))).read_text()
        imports = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
        imports |= {a.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for a in node.names}
        assert imports <= allowed, f"{name} imports {imports - allowed}"


def reference_cases() -> list[dict[str, Any]]:
    file = SHARED / "oracle" / "public.json"
    if not file.exists():
        return []
    cases: list[dict[str, Any]] = json.loads(file.read_text())["cases"]
    return [case for case in cases if case["loss"] in NAMES]


@pytest.fixture(scope="module")
def arrays() -> Iterator[Any]:
    with np.load(SHARED / "oracle" / "public.npz") as file:
        yield file


@pytest.mark.skipif(not reference_cases(), reason="the reference values (../shared/oracle) are not here")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", reference_cases(), ids=lambda case: case["id"])
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
    loss = losses.load(case["loss"])(num_labels, embeddings.shape[1], **case["hyper"]).to(dtype)
    triplets = {"triplets": read("param/triplets")} if params.pop("triplets", None) is not None else {}
    for key, parameter in params.items():
        getattr(loss, key).data = parameter
    embeddings.requires_grad_()
    value = loss(embeddings, labels, real("ref_emb"), read("ref_labels"), **triplets)
    value.backward()
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
