"""Second derivatives of every loss, and what torch.compile makes of the most used ones."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from dmlcli.learn import losses
from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss

ONCE = {
    "dynamic-soft-margin"
}  # its weights come from a histogram without a graph: it refuses to be differentiated twice
MOST_USED = (
    "arcface",
    "circle",
    "contrastive",
    "cosface",
    "multi-similarity",
    "nt-xent",
    "proxy-anchor",
    "softmax",
    "supcon",
    "triplet",
)
FORMS = (  # other code paths of the most used
    "contrastive:form=cosine",
    "contrastive:form=hadsell",
    "contrastive:distance=manhattan",
    "nt-xent:distance=cosine",
    "supcon:distance=signal-to-noise",
    "multi-similarity:epsilon=none",
    "softmax:normalize=true",
    "triplet:mining=batch-all",
    "triplet:mining=batch-all,soft=true",
    "triplet:mining=batch-all,swap=true",
    "triplet:mining=batch-hard",
    "triplet:mining=semi-hard-all,distance=euclidean",
    "triplet:soft=true,swap=true",
    "softmax+0.5*triplet",
)
OWN_SHAPES = {"center-spread", "clustering", "n-pair", "n-pair-angular", "vicreg"}  # shapes depend on the labels
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler: inductor cannot run")


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    embeddings = torch.randn(9, 5, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return embeddings.requires_grad_(), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0])


def make(spec: str) -> Loss:
    torch.manual_seed(0)
    return losses.build(spec, 4, 5)


def value_from(loss: Loss, labels: Tensor) -> Callable[..., Tensor]:
    """The value as a function of embeddings and parameters, with the same draws and the same state every time."""
    names = [name for name, _ in loss.named_parameters()]
    buffers = {name: buffer.clone() for name, buffer in loss.named_buffers()}

    def value(embeddings: Tensor, *parameters: Tensor) -> Tensor:
        torch.manual_seed(0)
        state = dict(zip(names, parameters, strict=True)) | {name: one.clone() for name, one in buffers.items()}
        found: Tensor = functional_call(loss, state, (embeddings, labels))
        return found

    return value


@pytest.mark.parametrize("spec", sorted({*losses.names(), *FORMS} - ONCE))
def test_second_derivatives_are_those_of_finite_differences(spec: str) -> None:
    """A gradient that is written out by hand must not be a constant when it is differentiated again."""
    embeddings, labels = batch()
    loss = make(spec).double()
    parameters = [parameter.detach().clone().requires_grad_() for parameter in loss.parameters()]
    inputs = (embeddings, *parameters)
    assert torch.autograd.gradgradcheck(value_from(loss, labels), inputs, atol=1e-5, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("spec", sorted(ONCE))
def test_a_loss_without_second_derivatives_says_so(spec: str) -> None:
    loss, (embeddings, labels) = make(spec).double(), batch()
    assert torch.autograd.grad(loss(embeddings, labels), embeddings)[0].any()
    with pytest.raises(RuntimeError, match="this loss has no second derivative"):
        torch.autograd.grad(loss(embeddings, labels), embeddings, create_graph=True)


def test_the_gradient_of_circle_changes_as_its_weights_do() -> None:
    """The gradient holds the weights constant; its own derivative does not."""
    loss, (embeddings, labels) = make("circle:gamma=4").double(), batch()
    (slope,) = torch.autograd.grad(loss(embeddings, labels), embeddings, create_graph=True)
    rows = [torch.autograd.grad(one, embeddings, retain_graph=True)[0] for one in slope.flatten()]
    found = torch.stack(rows).view(*slope.shape, *slope.shape)
    step, wanted = 1e-6, torch.zeros_like(found)
    for i in range(embeddings.shape[0]):
        for k in range(embeddings.shape[1]):
            slopes = []
            for sign in (1, -1):
                moved = embeddings.detach().clone()
                moved[i, k] += sign * step
                slopes.append(torch.autograd.grad(loss(moved.requires_grad_(), labels), moved)[0])
            wanted[:, :, i, k] = (slopes[0] - slopes[1]) / (2 * step)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)


def assert_compiles(spec: str, backend: str, **arguments: Any) -> None:
    torch._dynamo.reset()
    loss, (embeddings, labels) = make(spec), batch(torch.float32)
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    inputs = [embeddings, *loss.parameters()]
    value, expected = compiled(embeddings, labels, **arguments), loss(embeddings, labels, **arguments)
    assert torch.allclose(value, expected, rtol=1e-5)
    slopes, wanted = torch.autograd.grad(value, inputs), torch.autograd.grad(expected, inputs)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(slopes, wanted, strict=True))


@pytest.mark.slow  # the first compilation of a process takes 20 s
@pytest.mark.parametrize("spec", [*MOST_USED, *FORMS])
def test_the_most_used_compile_into_one_graph(spec: str) -> None:
    assert_compiles(spec, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("spec", sorted({*losses.names()} - OWN_SHAPES - {*MOST_USED} - {"margin"}))
def test_others_compile_into_one_graph_where_shapes_do_not_depend_on_labels(spec: str) -> None:
    assert_compiles(spec, "aot_eager")


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("spec", MOST_USED)
def test_the_most_used_are_the_same_in_machine_code(spec: str) -> None:
    assert_compiles(spec, "inductor")


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["contrastive", "supcon", "triplet"])
def test_references_and_given_pairs_compile_too(spec: str) -> None:
    embeddings, labels = batch(torch.float32)
    others = {"references": embeddings.detach().flip(0), "reference_labels": labels.flip(0)}
    assert_compiles(spec, "aot_eager", **others)
    assert_compiles(spec, "aot_eager", pairs=pairwise.masks(labels))
    positives, negatives = (mask.nonzero().unbind(-1) for mask in pairwise.masks(labels))
    assert_compiles(spec, "aot_eager", pairs=(*positives, *negatives))
