"""Networks of timm as backbones: their own pixels and names, layer by layer, exported, and missed politely."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

timm = pytest.importorskip("timm", reason="the extra timm is not installed")

from dmlcli.errors import CannotRun, UsageError, WeightsError  # noqa: E402
from dmlcli.learn.networks import frozen, onnx_export, timm_backbones  # noqa: E402
from dmlcli.learn.networks.backbone import build_backbone, default_pooling  # noqa: E402
from dmlcli.learn.networks.pretrained import resolve  # noqa: E402
from dmlcli.learn.recipe import Recipe  # noqa: E402
from dmlcli.learn.training.optimizer import depths, groups  # noqa: E402


def test_pixels_are_those_of_the_checkpoint() -> None:
    plain, clip = (
        timm_backbones.image_settings("timm:resnet18"),
        timm_backbones.image_settings("timm:vit_base_patch16_clip_224.openai"),
    )
    assert plain.mean == (0.485, 0.456, 0.406) and plain.crop == 224
    assert (
        clip.mean != plain.mean and clip.mean[0] == pytest.approx(0.481, abs=1e-3) and clip.interpolation == "bicubic"
    )
    config = timm.models.get_pretrained_cfg("resnet18").to_dict()
    assert plain.resize == int(224 / config["crop_pct"])


@pytest.mark.parametrize(("name", "near"), [("timm:resnet81", "resnet"), ("timm:resnet18.nobody", "resnet18.")])
def test_what_timm_does_not_have_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError, match="timm") as caught:
        resolve(name, "none")
    assert near in caught.value.hint


def test_a_missing_extra_is_reported_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(CannotRun) as caught:
        resolve("timm:resnet18", "none")
    assert caught.value.exit_code == 4 and "pip install 'dmlcli[timm]'" in caught.value.hint


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match="no network"):
        resolve("timm:test_vit", "pretrained")
    with pytest.warns(UserWarning, match="falling back to the built-in descriptor"):
        assert resolve("timm:test_vit", "auto").backbone == "descriptor"


def test_a_file_of_weights_and_the_classifier_in_it(tmp_path: Path) -> None:
    whole = timm.create_model("test_resnet", num_classes=7)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    start = resolve("timm:test_resnet", str(tmp_path / "weights.pth"))
    backbone = build_backbone(start)
    images = torch.rand(2, 3, start.image.crop, start.image.crop)
    with torch.inference_mode():
        whole.reset_classifier(0)
        assert torch.allclose(backbone(images), whole.eval()(images), atol=1e-4)
    with pytest.raises(WeightsError, match="not weights of timm:test_vit"):
        build_backbone(resolve("timm:test_vit", str(tmp_path / "weights.pth")))


def test_a_chain_gives_two_maps_and_a_transformer_its_own() -> None:
    assert default_pooling("timm:test_resnet") == "two-maps+descriptor" and default_pooling("timm:test_vit") is None
    with pytest.raises(UsageError, match="no chain"):
        build_backbone(resolve("timm:test_vit", "none"), "avg+max")


def test_layers_of_a_transformer_move_at_their_own_pace() -> None:
    backbone = build_backbone(resolve("timm:test_vit", "none"))
    blocks = len(backbone.blocks)  # type: ignore[arg-type]
    by_depth = depths(backbone)
    assert sorted(by_depth) == list(range(blocks + 1))  # what comes before the blocks, and each of them
    assert any(p is backbone.pos_embed for p in by_depth[0])
    rates = [
        group["lr"] for group in groups(Recipe(layer_decay=0.5), torch.nn.Linear(2, 2), backbone, torch.nn.Linear(2, 2))
    ]
    assert rates[1 : 2 + blocks] == pytest.approx([1e-4 * 0.5**depth for depth in range(blocks, -1, -1)])


@pytest.mark.parametrize("name", ["timm:test_vit"])
def test_the_graph_gives_the_same_vectors(name: str, tmp_path: Path) -> None:
    start = resolve(name, "none")
    network = frozen.build(start)
    samples = torch.rand(2, 3, start.image.crop, start.image.crop).numpy()
    made = onnx_export.save(tmp_path / "model", network, replace(frozen.record(start), backbone=name), samples)
    assert made.graph is not None  # which is kept only where it does
