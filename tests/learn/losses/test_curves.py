"""The curves of a loss over the cosine of a pair are those of its formula."""

import math

import pytest

from dmlcli.learn import losses
from dmlcli.learn.losses.curves import DIM, LABELS, curve
from tests.learn.losses.test_losses import CONSTANT_WEIGHTS

COSINES = [-0.93, -0.31, 0.07, 0.42, 0.81]
DRAWN = [name for name in losses.names() if losses.describe(name).family != "regularizer"]


def test_contrastive_is_a_hinge_on_distances() -> None:
    loss = losses.build("contrastive", LABELS, DIM)
    distances = [math.sqrt(2 - 2 * s) for s in COSINES]
    positive, negative = (curve(loss, COSINES, positive=side) for side in (True, False))
    assert positive.values == pytest.approx(distances)  # the negative pair is farther than its margin
    assert positive.slopes == pytest.approx([-1 / d for d in distances])
    assert negative.values == pytest.approx([1 + max(0.0, 1 - d) for d in distances])  # the positive pair is 1 apart
    assert negative.slopes == pytest.approx([1 / d if d < 1 else 0.0 for d in distances])


def test_the_pair_of_a_classifier_is_an_image_and_a_weight() -> None:
    loss = losses.build("cosface:scale=10,margin=0.2", LABELS, DIM)
    positive, negative = (curve(loss, COSINES, positive=side) for side in (True, False))
    assert positive.values == pytest.approx([math.log1p(math.exp(-10 * (s - 0.2))) for s in COSINES])
    assert negative.values == pytest.approx([math.log1p(math.exp(10 * (s - 0.5 + 0.2))) for s in COSINES])


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("name", DRAWN)
def test_every_loss_of_pairs_has_finite_curves_and_true_slopes(name: str, positive: bool) -> None:
    loss = losses.build(name, LABELS, DIM).eval()
    found = curve(loss, COSINES, positive=positive)
    assert all(map(math.isfinite, [*found.values, *found.slopes]))
    if name not in CONSTANT_WEIGHTS | {"ranked-list"}:
        ahead, behind = (curve(loss, [s + step for s in COSINES], positive=positive).values for step in (1e-6, -1e-6))
        difference = [(a - b) / 2e-6 for a, b in zip(ahead, behind, strict=True)]
        assert found.slopes == pytest.approx(difference, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", ["spectral", "embedding-norm"])
def test_a_regularizer_has_none(name: str) -> None:
    with pytest.raises(ValueError, match="a regularizer compares no pairs"):
        curve(losses.build(name, LABELS, DIM), COSINES, positive=True)
