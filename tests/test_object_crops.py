"""--crop auto of embed and index: cluttered photos are cropped to their object, clean ones stay, updates go on so."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmlcli.embeddings import Embeddings, open_embeddings
from dmlcli.object_crops import resemblance
from dmlcli.workspace import Workspace
from tests.conftest import SAMPLE, Cli, make_shop

PRODUCTS, CORNERS = 5, ((0, 200), (200, 0))  # left and top of the object in a scene


def clutter(photo: Path, target: Path, corner: tuple[int, int]) -> None:
    """A quarter of a gray scene is a photo."""
    scene = Image.new("RGB", (400, 400), "#808080")
    scene.paste(Image.open(photo).convert("RGB").resize((200, 200)), corner)
    scene.save(target)


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """Products with three clean and two cluttered photos."""
    for product in sorted((SAMPLE / "catalog").glob("*/*"))[::2][:PRODUCTS]:
        folder = tmp_path / "untidy" / product.name
        folder.mkdir(parents=True)
        *clean, first, second = sorted(product.glob("*.jpg"))[:5]
        for photo in clean:
            (folder / photo.name).write_bytes(photo.read_bytes())
        for number, (photo, corner) in enumerate(zip((first, second), CORNERS, strict=True)):
            clutter(photo, folder / f"scene{number}.png", corner)
    return tmp_path / "untidy"


def boxes(made: Embeddings) -> dict[str, tuple[float, float, float, float] | None]:
    return {item.path: item.box for item in made.items}


def test_cluttered_photos_are_cropped_and_clean_ones_stay(untidy: Path, workspace: Path, cli: Cli) -> None:
    found = cli("embed", untidy, "--crop", "auto", "-w", workspace)
    assert found.code == 0, found.err
    made = open_embeddings(Workspace(workspace).embeddings)
    chosen = boxes(made)
    scenes = {path: box for path, box in chosen.items() if "scene" in path}
    cropped = {path: box for path, box in scenes.items() if box is not None}
    assert len(scenes) == 2 * PRODUCTS and len(cropped) >= 0.7 * len(scenes)
    for path, (left, top, right, bottom) in cropped.items():
        corner = CORNERS["scene1" in path]
        middle = (left + right) / 2 - corner[0], (top + bottom) / 2 - corner[1]
        assert all(40 < side < 160 for side in middle), (path, left, top, right, bottom)
    assert sum(box is not None for path, box in chosen.items() if "scene" not in path) <= PRODUCTS
    count = sum(box is not None for box in chosen.values())
    assert f"{count} of {5 * PRODUCTS} photos are cropped" in found.err
    again = cli("embed", untidy, "--crop", "auto", "-w", workspace, "--format", "json")
    assert json.loads(again.out)["computed"] == 0
    assert boxes(open_embeddings(Workspace(workspace).embeddings)) == chosen
    plain = cli("embed", untidy, "-w", workspace)
    assert plain.code == 0 and not any(boxes(open_embeddings(Workspace(workspace).embeddings)).values())


def test_an_index_is_updated_as_it_was_made(untidy: Path, workspace: Path, cli: Cli) -> None:
    assert cli("index", untidy, "--crop", "auto", "-w", workspace).code == 0
    product = sorted(untidy.iterdir())[0]
    new = product / "scene2.png"
    clutter(sorted((SAMPLE / "catalog").glob("*/*"))[0] / "5.jpg", new, CORNERS[1])
    found = cli("index", untidy, "--update", "-w", workspace, "--format", "json")
    assert found.code == 0 and json.loads(found.out)["added"] >= 1, found.err
    assert "photos are cropped" in found.err
    asked = product / "scene0.png"
    answer = json.loads(cli("query", asked, "--by", "image", "-k", 20, "-w", workspace, "--format", "json").out)
    shown = {
        Path(hit["image"]).name: hit["box"] for hit in answer["answers"][0]["hits"] if product.name in hit["image"]
    }
    assert any(box is not None for name, box in shown.items() if "scene" in name)


def test_what_cannot_be_cropped_is_an_error(untidy: Path, workspace: Path, cli: Cli, tmp_path: Path) -> None:
    single = make_shop(tmp_path / "single", 3, images=1)
    for arguments, message in (
        (["embed", untidy, "--average", "flip"], "--crop and --average cannot be combined"),
        (["embed", single], "no product has two"),
        (["embed", "-", "-o", tmp_path / "v.npy"], "--crop auto needs a catalog"),
        (["index", untidy, "--average", "flip"], "--crop and --average cannot be combined"),
        (["index"], "--crop has no effect on existing embeddings"),
    ):
        found = cli(*arguments, "--crop", "auto", "-w", workspace)
        assert found.code == 2 and message in found.err, (arguments, found.err)


def test_a_part_is_compared_with_the_better_part_of_each_other_photo() -> None:
    whole = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    cut = np.array([[0, 1], [0, 1], [1, 0]], np.float32)
    assert resemblance(whole, whole, cut).tolist() == pytest.approx([(0 + 1) / 2, (1 + 0.8) / 2, 0.8])
    assert resemblance(cut, whole, cut).tolist() == pytest.approx([(1 + 0.8) / 2, (1 + 0.8) / 2, (1 + 0) / 2])
