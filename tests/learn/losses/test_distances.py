"""Losses by other distances: equal to pytorch-metric-learning's with its distance of the same name."""

from importlib.util import find_spec
from typing import Any, get_args

import pytest
import torch

from dmlcli.errors import UsageError
from dmlcli.learn import losses
from dmlcli.learn.losses import distances
from dmlcli.learn.losses.distances import Distance
from tests.learn.losses.test_agreement import around_centers, regular_batches

NAMES = get_args(Distance)
TAKERS = [
    n for n in losses.names() if n != "clustering" and "distance" in {s.name for s in losses.describe(n).settings}
]
CASES = [
    (name, distance)
    for name in TAKERS
    for setting in losses.describe(name).settings
    if setting.name == "distance"
    for distance in setting.choices
]
needs_theirs = pytest.mark.skipif(
    find_spec("pytorch_metric_learning") is None, reason="pytorch-metric-learning is not installed"
)
THEIRS = {
    "squared-euclidean": lambda p: p.LpDistance(power=2),
    "euclidean": lambda p: p.LpDistance(),
    "manhattan": lambda p: p.LpDistance(p=1, normalize_embeddings=False),  # they would normalize by the sum
    "cosine": lambda p: p.CosineSimilarity(),
    "dot": lambda p: p.DotProductSimilarity(normalize_embeddings=False),
    "signal-to-noise": lambda p: p.SNRDistance(normalize_embeddings=False),
}
RAW = ("manhattan", "dot", "signal-to-noise")  # compared on embeddings that are not normalized
LOSSES = {
    "triplet:mining=batch-all": lambda p, d: p.TripletMarginLoss(0.2, distance=d),
    "triplet:mining=batch-all,swap=true": lambda p, d: p.TripletMarginLoss(0.2, swap=True, distance=d),
    "triplet:mining=batch-all,soft=true": lambda p, d: p.TripletMarginLoss(0.2, smooth_loss=True, distance=d),
    "contrastive:pos_margin=0.6,neg_margin=0.4": lambda p, d: p.ContrastiveLoss(0.6, 0.4, distance=d),
    "nt-xent:temperature=1": lambda p, d: p.NTXentLoss(1.0, distance=d),
    "supcon:temperature=1": lambda p, d: p.SupConLoss(1.0, distance=d),
    "nca:scale=0.5": lambda p, d: p.NCALoss(0.5, distance=d),
    "lifted-structure": lambda p, d: p.GeneralizedLiftedStructureLoss(-1 if d.is_inverted else 1, distance=d),
}


@pytest.mark.parametrize("name", NAMES)
def test_distances_of_pairs_are_those_of_the_formulas(name: Distance) -> None:
    generator = torch.Generator().manual_seed(0)
    images, others = (torch.randn(count, 5, generator=generator, dtype=torch.float64) for count in (3, 4))
    found = distances.between(name, images, others)
    expected = torch.stack([torch.stack([distances.of_pair(name, x, y) for y in others]) for x in images])
    assert found.shape == (3, 4) and torch.allclose(found, expected)
    near = images + 0.01 * torch.randn(3, 5, generator=generator, dtype=torch.float64)
    assert name == "dot" or (distances.between(name, images, near).argmin(1) == torch.arange(3)).all()


@needs_theirs
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("distance", NAMES)
@pytest.mark.parametrize("spec", LOSSES)
def test_a_loss_equals_theirs_with_the_same_distance(spec: str, distance: str) -> None:
    from pytorch_metric_learning import distances as their_distances
    from pytorch_metric_learning import losses as their_losses

    raw = ",normalize=false" if distance in RAW else ""
    ours = losses.build(f"{spec}{',' if ':' in spec else ':'}distance={distance}{raw}", 4, 6)
    theirs: Any = LOSSES[spec](their_losses, THEIRS[distance](their_distances))
    for embeddings, labels in regular_batches(9, in_blocks=False):
        value, expected = ours(embeddings, labels), theirs(embeddings, labels)
        assert torch.allclose(value, expected, rtol=1e-5, atol=1e-7), f"{labels}"
        slope, wanted = (torch.autograd.grad(one, embeddings)[0] for one in (value, expected))
        assert torch.allclose(slope, wanted, rtol=1e-4, atol=1e-6 * float(wanted.abs().max()) + 1e-7), f"{labels}"


@needs_theirs
@pytest.mark.parametrize("distance", ["euclidean", "squared-euclidean", "cosine"])
def test_margin_equals_theirs_for_the_same_triplets(distance: str) -> None:
    from pytorch_metric_learning import distances as their_distances
    from pytorch_metric_learning import losses as their_losses

    ours = losses.build(f"margin:distance={distance},per_label=false", 4, 6).double()
    start = next(ours.parameters()).item()
    theirs = their_losses.MarginLoss(beta=start, distance=THEIRS[distance](their_distances))
    triplets = torch.tensor([[0, 1, 2], [2, 3, 0], [1, 0, 3]])
    for embeddings, labels in regular_batches(9, in_blocks=True):
        value, expected = ours(embeddings, labels, triplets=triplets), theirs(embeddings, labels, triplets.unbind(1))
        assert torch.allclose(value, expected), f"{labels}"
    assert abs(start - {"euclidean": 1.2, "squared-euclidean": 1.44, "cosine": 1 - 1.44 / 2}[distance]) < 1e-6


@pytest.mark.parametrize(("name", "distance"), CASES)
def test_copies_and_zeros_give_finite_gradients(name: str, distance: str) -> None:
    torch.manual_seed(0)
    embeddings = around_centers(torch.arange(8) % 4, 0.5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        embeddings[4] = embeddings[0]
        embeddings[5] = embeddings[0]
        embeddings[6] = 0
    loss = losses.build(f"{name}:distance={distance}", 4, 6).double()
    for miner in ("", ",miner=multi-similarity", ",miner=triplet-margin"):
        mined = losses.build(f"{name}:distance={distance}{miner}", 4, 6).double()
        value = mined(embeddings, torch.arange(8) % 4)
        assert value.isfinite() and torch.autograd.grad(value, embeddings)[0].isfinite().all()
    poisoned = embeddings.detach().clone()
    poisoned[0, 0] = torch.nan
    assert loss(poisoned.requires_grad_(), torch.arange(8) % 4).isnan()


@pytest.mark.parametrize(("name", "distance"), CASES)
def test_second_derivatives_are_those_of_finite_differences(name: str, distance: str) -> None:
    embeddings = around_centers(torch.arange(8) % 4, 0.5, torch.Generator().manual_seed(0))
    loss = losses.build(f"{name}:distance={distance}", 4, 6).double()

    def value(embeddings: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        found: torch.Tensor = loss(embeddings, torch.arange(8) % 4)
        return found

    assert torch.autograd.gradgradcheck(value, (embeddings,), atol=1e-5, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("name", ["contrastive", "lifted-structure"])
def test_the_cosine_form_takes_no_distance(name: str) -> None:
    with pytest.raises(UsageError, match="form cosine has its own similarity"):
        losses.build(f"{name}:form=cosine,distance=dot", 4, 6)
