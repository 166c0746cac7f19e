"""The built-in descriptor sees color, texture and place, and little of the light."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dmlcli.errors import ModelError
from dmlcli.image import view
from dmlcli.learn.networks.descriptor import IMAGE, Descriptor, _together
from dmlcli.learn.networks.network import open_network
from dmlcli.model import open_model, save
from tests.conftest import encoded, photo


def describe(*images: Image.Image) -> Tensor:
    pixels = np.stack([view(encoded(image), IMAGE) for image in images])
    with torch.inference_mode():
        return torch.nn.functional.normalize(Descriptor()(torch.from_numpy(pixels)), dim=1)


def test_it_has_nothing_to_learn_and_gives_finite_statistics() -> None:
    assert not list(Descriptor().parameters())
    extremes = torch.stack([torch.zeros(3, 128, 128), torch.ones(3, 128, 128), torch.rand(3, 128, 128)])
    features = Descriptor()(extremes)
    assert torch.isfinite(features).all() and (features.norm(dim=1) > 1).all()


def test_second_moments_are_weighed_by_place_and_rooted() -> None:
    """As numpy has it, by eigenvalues; the iteration stops early on the smallest."""
    numbers = torch.randn(2, 5, 7, 7, generator=torch.Generator().manual_seed(0))
    rows = np.concatenate([numbers.numpy(), np.full((2, 1, 7, 7), 0.3, np.float32)], axis=1).reshape(2, 6, 49)
    place = np.linspace(-1, 1, 7) ** 2
    weights = np.exp(-2 * (place[:, None] + place)).reshape(49)
    for found, own in zip(_together(numbers), rows, strict=True):
        values, vectors = np.linalg.eigh((own * weights) @ own.T)
        root = (vectors * np.sqrt(values)) @ vectors.T
        expected = np.concatenate([[root[i, i], *(2**0.5 * root[i, i + 1 :])] for i in range(6)])
        assert found @ torch.from_numpy(expected / np.linalg.norm(root)).float() > 0.999


def test_narrow_arithmetic_around_it_does_not_reach_it() -> None:
    images = torch.rand(2, 3, 128, 128)
    with torch.autocast("cpu", torch.bfloat16):
        inside = Descriptor()(images)
    assert torch.equal(inside, Descriptor()(images))


def test_what_is_in_the_middle_counts_more_than_what_is_at_the_border() -> None:
    gray = np.full((128, 128, 3), 128, np.uint8)
    middle, corner = gray.copy(), gray.copy()
    middle[48:80, 48:80], corner[:32, :32] = (200, 40, 40), (200, 40, 40)
    plain, in_middle, in_corner = describe(*(Image.fromarray(pixels) for pixels in (gray, middle, corner)))
    assert plain @ in_middle < plain @ in_corner - 0.1


def test_a_model_of_another_descriptor_is_refused(plain_model: Path, tmp_path: Path) -> None:
    """Models of before it carried its filters: their vectors were other ones."""
    older = save(tmp_path / "model", open_model(plain_model).record, {}, None)
    with pytest.raises(ModelError, match="do not fit") as caught:
        open_network(older)
    assert caught.value.hint == "train it again"


def test_the_batch_has_no_effect() -> None:
    together = describe(photo(1), photo(2), photo(3))
    assert torch.allclose(together[1], describe(photo(2))[0], atol=1e-5)


def test_it_tells_products_apart_and_knows_them_again() -> None:
    """Ten products, two noisy pictures each: the nearest is always the other picture of the product."""
    features = describe(*[photo(product, number) for product in range(10) for number in range(2)])
    similarity = features @ features.T - 2 * torch.eye(20)
    assert similarity.argmax(dim=1).tolist() == [row ^ 1 for row in range(20)]


def test_it_sees_color_where_shape_is_the_same_and_shape_where_color_is() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::8], stripes[:, 1::8] = (200, 40, 40), (200, 40, 40)
    red = Image.fromarray(stripes)
    blue, turned = Image.fromarray(stripes[:, :, ::-1].copy()), Image.fromarray(stripes.transpose(1, 0, 2).copy())
    darker = Image.fromarray((stripes * 0.8).astype(np.uint8))
    against = describe(red, blue, turned, darker)
    to_blue, to_turned, to_darker = (against[1:] @ against[0]).tolist()
    assert to_darker > 0.9 > to_blue and to_darker > 0.95 > to_turned


def test_shadows_are_evened_out() -> None:
    """Square roots are taken first: a step in the shadows counts more than the same step in the light."""
    dark, light = torch.zeros(1, 3, 128, 128), torch.full((1, 3, 128, 128), 0.8)
    pattern = torch.zeros(1, 3, 128, 128)
    pattern[..., ::16] = pattern[..., 1::16] = pattern[..., 2::16] = pattern[..., 3::16] = 0.1
    changes = [float((Descriptor()(base + pattern) - Descriptor()(base)).norm()) for base in (dark, light)]
    assert changes[0] > 2 * changes[1]
