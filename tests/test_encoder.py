"""Pixels to unit vectors, by the graph without torch, by torch where there is no graph, and the same either way."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlcli.catalog import open_catalog
from dmlcli.encoder import Encoder, EncoderOptions, find_or_make_model
from dmlcli.errors import ImageError, ModelError, UsageError, WeightsError
from dmlcli.model import open_model
from dmlcli.workspace import Workspace
from tests.conftest import Mission, encoded, photo


def test_vectors_have_unit_length_and_the_promised_size(plain_model: Path, shop: Path) -> None:
    encoder = Encoder(open_model(plain_model))
    made = encoder.embed_catalog(open_catalog(shop), [])
    assert made.embeddings.vectors.shape == (12, encoder.model.record.dim)
    assert np.allclose(np.linalg.norm(made.embeddings.vectors, axis=1), 1, atol=1e-5)
    assert made.embeddings.model == encoder.fingerprint


def test_one_image_embeds_as_it_does_among_others(mission: Mission) -> None:
    encoder = Encoder(open_model(mission.workspace / "model"))
    photos = open_catalog(mission.catalog)
    made = encoder.embed_catalog(photos, []).embeddings
    for row in (0, 41, 99):
        alone = encoder.embed((photos.root / photos.items[row].path).read_bytes())
        assert np.allclose(alone[0], made.vectors[row], atol=1e-5)


def test_the_graph_gives_what_torch_gives(mission: Mission) -> None:
    from dmlcli.learn.networks.inference import open_network

    model = open_model(mission.workspace / "model")
    assert model.graph is not None
    batch = np.stack([Encoder(model).view(path.read_bytes()) for path in mission.images()[:5]])
    by_graph, by_torch = Encoder(model).forward(batch), open_network(model)(batch)
    assert (by_graph * by_torch).sum(axis=1).min() > 0.9999


def test_a_vector_does_not_depend_on_what_else_is_in_the_batch(mission: Mission) -> None:
    encoder = Encoder(open_model(mission.workspace / "model"))
    batch = np.stack([encoder.view(path.read_bytes()) for path in mission.images()[:5]])
    together = encoder.forward(batch)
    assert np.array_equal(encoder.forward(batch[3:]), together[3:])
    assert encoder.forward(batch[:0]).shape == (0, together.shape[1])


@pytest.mark.filterwarnings("ignore:this processor has no arithmetic")
def test_bfloat16_turns_vectors_by_little(mission: Mission) -> None:
    model = open_model(mission.workspace / "model")
    exact, narrow = Encoder(model), Encoder(model, narrow=True)
    batch = np.stack([exact.view(path.read_bytes()) for path in mission.images()[:5]])
    cosines = (exact.forward(batch) * narrow.forward(batch)).sum(axis=1)
    assert cosines.min() > 0.99
    if torch.cpu._is_avx512_bf16_supported():  # elsewhere it may come out as in float32
        assert not (cosines > 1 - 1e-7).all()


def test_a_model_with_a_graph_needs_no_torch(mission: Mission) -> None:
    code = (
        "import sys; from pathlib import Path; from dmlcli.encoder import Encoder; from dmlcli.model import open_model;"
        "vector = Encoder(open_model(Path(sys.argv[1]))).embed(Path(sys.argv[2]).read_bytes());"
        "assert vector.shape == (1, 256); assert not {'torch', 'torchvision', 'pandas'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(mission.workspace / "model"), str(mission.images()[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_no_image_is_reported(plain_model: Path) -> None:
    with pytest.raises(ImageError, match="not an image"):
        Encoder(open_model(plain_model)).embed(b"hello")


def test_the_named_model_wins_over_the_workspace(mission: Mission, plain_model: Path) -> None:
    photos, place = open_catalog(mission.catalog), Workspace(mission.workspace)
    assert find_or_make_model(plain_model, place, photos).folder == plain_model
    assert find_or_make_model(None, place, photos).folder == place.model
    with pytest.raises(ModelError, match="no model found in"):
        find_or_make_model(mission.folder / "nowhere", place, photos)


def test_a_model_left_by_a_crash_is_used_and_not_trained_again(workspace: Path, mission: Mission) -> None:
    """A writer was killed between its two renames."""
    (workspace / "model").rename(workspace / ".model.previous")
    fingerprint = open_model(mission.workspace / "model").record.fingerprint
    found = find_or_make_model(None, Workspace(workspace), open_catalog(mission.catalog))
    assert found.record.fingerprint == fingerprint


def test_pictures_of_one_product_are_closer_than_those_of_two(plain_model: Path) -> None:
    encoder = Encoder(open_model(plain_model))
    one, other = encoder.embed(encoded(photo(1))), encoder.embed(encoded(photo(2)))
    same = encoder.embed(encoded(photo(1, 7)))
    assert (one * same).sum() > (one * other).sum() + 0.05


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (EncoderOptions(backbone="resnet50"), "--backbone resnet50, but it has descriptor"),
        (EncoderOptions(weights="none"), "--weights none, but it has built in"),
        (EncoderOptions(weights="w.pth"), "--weights w.pth, but it has built in"),
        (EncoderOptions(pooling="gem"), "--pooling gem, but it has that of the published network"),
    ],
)
def test_a_model_that_is_there_is_not_passed_off_as_another(
    asked: EncoderOptions, said: str, plain_model: Path, shop: Path, tmp_path: Path
) -> None:
    """Named with --model, or trained and in the workspace."""
    photos = open_catalog(shop)
    with pytest.raises(UsageError, match=said):
        find_or_make_model(plain_model, Workspace(tmp_path / "w"), photos, asked)
    shutil.copytree(plain_model, tmp_path / "w" / "model")
    file = tmp_path / "w" / "model" / "model.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"products": ["a"]}))
    with pytest.raises(UsageError, match=said):
        find_or_make_model(None, Workspace(tmp_path / "w"), photos, asked)
    with pytest.raises(UsageError, match="have no effect on embeddings"):
        asked.check(None)


def test_the_requested_model_may_be_the_current_one(plain_model: Path, shop: Path, tmp_path: Path) -> None:
    photos, place = open_catalog(shop), Workspace(tmp_path / "w")
    for asked in (EncoderOptions(backbone="descriptor"), EncoderOptions(weights="auto"), EncoderOptions(device="cpu")):
        assert find_or_make_model(plain_model, place, photos, asked).folder == plain_model
    EncoderOptions(device="cpu").check(None)


def test_a_pretrained_backbone_is_made_as_asked_and_replaced_by_another(
    begun: Path, shop: Path, random_weights: Path
) -> None:
    (begun / "frozen").rename(begun / "model")
    photos, place = open_catalog(shop), Workspace(begun)
    assert find_or_make_model(None, place, photos).record.backbone == "descriptor"
    asked = EncoderOptions("alexnet", str(random_weights), "avg+max")
    made = find_or_make_model(None, place, photos, asked).record
    assert (made.backbone, made.weights_from, made.pooling) == ("alexnet", str(random_weights), "avg+max")
    again = find_or_make_model(None, place, photos, asked).record
    assert again == made == find_or_make_model(None, place, photos).record


def test_the_fallback_of_a_backbone_is_not_made_again(begun: Path, shop: Path) -> None:
    """It was asked for and could not be had; `--weights pretrained` tries again."""
    (begun / "frozen").rename(begun / "model")
    file = begun / "model" / "model.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"caution": "stands in", "recipe": {"backbone": "resnet18"}}))
    photos, place = open_catalog(shop), Workspace(begun)
    assert find_or_make_model(None, place, photos, EncoderOptions("resnet18")).record.backbone == "descriptor"
    with pytest.raises(WeightsError, match="cannot download"):
        find_or_make_model(None, place, photos, EncoderOptions("resnet18", "pretrained"))


def test_on_a_device_torch_embeds_and_an_unknown_one_is_refused(plain_model: Path, shop: Path) -> None:
    image = (shop / "product-00" / "0.png").read_bytes()
    one, other = (
        Encoder(open_model(plain_model)).embed(image),
        Encoder(open_model(plain_model), device="auto").embed(image),
    )
    assert np.allclose(one, other, atol=1e-5)
    with pytest.raises(UsageError, match="device 'cuda:77' is not available"):
        Encoder(open_model(plain_model), device="cuda:77")
