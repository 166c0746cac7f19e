"""A match map adds up to the cosine, for every pooling and head; models without maps are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dmlcli.errors import CannotRun
from dmlcli.image import ImageSettings
from dmlcli.learn.networks import onnx_export
from dmlcli.learn.networks.backbone import build_backbone, feature_dim
from dmlcli.learn.networks.heads import BlendHead, Head, IdentityHead
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import resolve
from dmlcli.model import Model, ModelRecord
from dmlcli.search.match_map import SIDE, open_map_model
from dmlcli.search.pooled_maps import WHOLE, Window

IMAGE = ImageSettings(resize=72, crop=64)
PRODUCTS = 5


def pixels(count: int) -> Any:
    return np.random.default_rng(0).normal(size=(count, 3, 64, 64)).astype(np.float32)


def blend(features: int, kind: str) -> BlendHead:
    head = BlendHead(features, 6, 4, discriminative=kind, products=PRODUCTS)
    for parameter in head.parameters():
        parameter.data.normal_()
    if kind == "bnneck":
        head.discriminative.neck.running_mean.normal_()  # type: ignore[union-attr]
        head.discriminative.neck.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    head.prototypes = torch.nn.functional.normalize(torch.randn(PRODUCTS, 4), dim=-1)
    head.blend, head.prototype_attention = torch.tensor(0.3), torch.tensor(1.5)
    return head


def saved(
    folder: Path, backbone: str, pooling: str | None, kind: str | None = None, *, mirror: bool = False
) -> tuple[Model, Network]:
    torch.manual_seed(0)
    weights = replace(resolve(backbone, "none"), image=IMAGE)
    trunk = build_backbone(weights, pooling)
    features = feature_dim(trunk, IMAGE)
    head: Head = IdentityHead(features) if kind is None else blend(features, kind)
    network = Network(trunk, head.eval(), IMAGE, pooling=pooling, mirror=mirror).eval()
    record = ModelRecord("", backbone, {}, 0, IMAGE, "none (random)")
    return onnx_export.save(folder, network, record, pixels(2)), network


@pytest.mark.parametrize(
    ("backbone", "pooling", "kind", "mirror"),
    [
        ("efficientnet_lite0", "two-maps+descriptor", "linear", True),
        ("mobilenet_v2", None, None, False),
        ("resnet18", "max", "layernorm", False),
        ("resnet18", "avg+max", "bnneck", True),
        ("descriptor", None, "mlp", False),
    ],
)
def test_a_match_map_adds_up_to_the_cosine(
    tmp_path: Path, backbone: str, pooling: str | None, kind: str | None, mirror: bool
) -> None:
    model, network = saved(tmp_path / "m", backbone, pooling, kind, mirror=mirror)
    maps = open_map_model(model)
    images = pixels(3)
    with torch.inference_mode():
        vectors = network(torch.from_numpy(images)).numpy()
    for image, vector in zip(images, vectors, strict=True):
        seen = maps.look(image)
        assert seen.vector == pytest.approx(vector, abs=1e-3)
        assert maps.embeddings(seen, [WHOLE])[0] == pytest.approx(seen.vector, abs=1e-4)
        for other in vectors:
            found = maps.match(seen, other)
            assert found.shape == (SIDE, SIDE)
            assert float(found.sum()) == pytest.approx(float(seen.vector @ other), abs=1e-4)


def test_the_map_of_a_mirrored_view_is_turned_back(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "m", "descriptor", None, mirror=True)
    maps = open_map_model(model)
    image, target = np.abs(pixels(2))
    vector = maps.look(target).vector
    plain, turned = (maps.match(maps.look(each), vector) for each in (image, image[:, :, ::-1].copy()))
    assert plain[:, ::-1] == pytest.approx(turned, abs=1e-5)
    assert np.abs(plain - turned).max() > 1e-4  # it is not symmetric itself


def test_a_bright_spot_alone_carries_the_match(tmp_path: Path) -> None:
    """In a gray photo with one textured quarter, the part that resembles this quarter is the quarter itself."""
    model, _ = saved(tmp_path / "m", "descriptor", None)
    maps = open_map_model(model)
    image = np.full((3, 64, 64), 0.5, dtype=np.float32)
    image[:, 8:32, 8:32] = np.random.default_rng(1).random((3, 24, 24))
    texture = np.random.default_rng(2).random((3, 64, 64)).astype(np.float32)
    difference = maps.look(texture).vector - maps.look(np.full((3, 64, 64), 0.5, dtype=np.float32)).vector
    found = maps.match(maps.look(image), difference)
    assert found[: SIDE // 2, : SIDE // 2].sum() > 2 * np.abs(found[SIDE // 2 :, SIDE // 2 :].sum())


def test_a_window_has_the_features_of_what_is_inside(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "m", "descriptor", None)
    maps = open_map_model(model)
    image, other = pixels(2)
    changed = image.copy()
    changed[:, :, 40:] = other[:, :, 40:]
    left = Window(0.0, 0.0, 0.5, 1.0)
    same = maps.embeddings(maps.look(image), [left]), maps.embeddings(maps.look(changed), [left])
    assert same[0] == pytest.approx(same[1], abs=1e-6)
    assert float((maps.look(image).vector * maps.look(changed).vector).sum()) < 0.999


@pytest.mark.parametrize(("backbone", "pooling"), [("squeezenet1_0", None), ("resnet18", "gem")])
def test_models_whose_features_are_no_sum_over_places_are_refused(
    tmp_path: Path, backbone: str, pooling: str | None
) -> None:
    model, _ = saved(tmp_path / "m", backbone, pooling)
    with pytest.raises(CannotRun, match="has no maps"):
        open_map_model(model)
