"""Maps are kept once for each view, as they are, and never fill the disk."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dmlcli.catalog import open_catalog
from dmlcli.errors import CannotRun
from dmlcli.image import ImageSettings, view
from dmlcli.learn.data.activation_cache import ActivationCache, taken
from tests.conftest import make_shop

CPU = torch.device("cpu")
IMAGE = ImageSettings(resize=32, crop=32)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Below(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.calls = nn.Conv2d(3, 4, 8, stride=8), 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += len(images)
        maps: Tensor = self.conv(images)
        return maps


@pytest.fixture
def maps(tmp_path: Path) -> ActivationCache:
    photos = open_catalog(make_shop(tmp_path / "shop", 3, 2))
    files = [photos.photo(item) for item in photos.items]
    model: Any = SimpleNamespace(record=SimpleNamespace(fingerprint="f", image=IMAGE))
    return ActivationCache(
        files, [str(row) for row in range(len(files))], ["plain", "flip"], model, tmp_path / "maps", mirror=True
    )


def test_they_are_what_the_network_gives_and_computed_once(maps: ActivationCache) -> None:
    stem = Below().eval()
    plain, flip = maps.kept(stem, CPU)
    images = torch.from_numpy(np.stack([view(file.read_bytes(), IMAGE) for file in maps.files]))
    with torch.no_grad():
        for found, expected in ((plain, stem(images)), (flip, stem(images.flip(-1)))):
            assert torch.allclose(
                torch.from_numpy(np.array(found)).float(), expected, atol=0.05
            )  # bfloat16, where it is fast
    stem.calls = 0
    maps.kept(stem, CPU)
    assert stem.calls == 1  # that asks for their shape
    rows = taken([plain, flip], [0, 1], [2, 4], CPU)
    assert torch.equal(rows[0], torch.from_numpy(np.array(plain[2])).float())
    assert torch.equal(rows[1], torch.from_numpy(np.array(flip[4])).float())


def test_other_photos_and_another_backbone_have_maps_of_their_own(maps: ActivationCache, tmp_path: Path) -> None:
    stem = Below().eval()
    maps.kept(stem, CPU)
    (tmp_path / "maps" / "other-plain").mkdir()
    stem.calls = 0
    changed = ActivationCache(maps.files, [*maps.digests[:-1], "new"], maps.views, maps.model, maps.folder, mirror=True)
    changed.kept(stem, CPU)
    assert stem.calls == 1 + 2 * len(maps.files)
    assert sorted(place.name for place in maps.folder.iterdir()) == ["f-flip", "f-plain"]


@pytest.mark.parametrize(("free", "views"), [(10**9, 2), (0, None)])
def test_they_take_no_more_than_half_of_the_disk(
    maps: ActivationCache, monkeypatch: pytest.MonkeyPatch, free: int, views: int | None
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    if views:
        assert len(maps.kept(Below().eval(), CPU)) == views
        return
    with pytest.raises(CannotRun, match="half of what is free") as caught:
        maps.kept(Below().eval(), CPU)
    assert "--tune head" in caught.value.hint


def test_where_not_all_fit_the_first_are_taken(maps: ActivationCache, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ActivationCache(
        maps.files, maps.digests, ["plain", "flip", "light1-seed0"], maps.model, maps.folder, mirror=True
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 2 * 2 * 2 * len(maps.files) * 4 * 16))
    assert len(many.kept(Below().eval(), CPU)) == 2
