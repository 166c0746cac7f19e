"""The built-in descriptor sees colour, texture and place, and little of the light."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dmlcli.image import view
from dmlcli.learn.descriptor import IMAGE, Descriptor
from tests.conftest import encoded, photo


def describe(*images: Image.Image) -> Tensor:
    pixels = np.stack([view(encoded(image), IMAGE) for image in images])
    with torch.inference_mode():
        return torch.nn.functional.normalize(Descriptor()(torch.from_numpy(pixels)), dim=1)


def test_it_has_nothing_to_learn_and_gives_finite_statistics() -> None:
    assert not list(Descriptor().parameters())
    extremes = torch.stack([torch.zeros(3, 128, 128), torch.ones(3, 128, 128), torch.rand(3, 128, 128)])
    features = Descriptor()(extremes)
    assert torch.isfinite(features).all() and (features >= 0).all() and (features.norm(dim=1) > 0).all()


def test_the_batch_does_not_matter() -> None:
    together = describe(photo(1), photo(2), photo(3))
    assert torch.allclose(together[1], describe(photo(2))[0], atol=1e-5)


def test_it_tells_products_apart_and_knows_them_again() -> None:
    """Ten products, two noisy pictures each: the nearest is always the other picture of the product."""
    features = describe(*[photo(product, number) for product in range(10) for number in range(2)])
    similarity = features @ features.T - 2 * torch.eye(20)
    assert similarity.argmax(dim=1).tolist() == [row ^ 1 for row in range(20)]


def test_it_sees_colour_where_shape_is_the_same_and_shape_where_colour_is() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::8], stripes[:, 1::8] = (200, 40, 40), (200, 40, 40)
    red = Image.fromarray(stripes)
    blue, turned = Image.fromarray(stripes[:, :, ::-1].copy()), Image.fromarray(stripes.transpose(1, 0, 2).copy())
    darker = Image.fromarray((stripes * 0.8).astype(np.uint8))
    against = describe(red, blue, turned, darker)
    to_blue, to_turned, to_darker = (against[1:] @ against[0]).tolist()
    assert to_darker > 0.9 > to_blue and to_darker > 0.95 > to_turned
