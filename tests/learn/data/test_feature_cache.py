"""Features are computed once for each view of each image, and again only where content changed."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlcli.catalog import open_catalog
from dmlcli.embeddings import Vectors
from dmlcli.errors import CatalogError
from dmlcli.image import Pixels
from dmlcli.learn.data import feature_cache
from dmlcli.model import open_model
from dmlcli.workspace import Workspace
from tests.conftest import encoded, photo


def forward(batch: Pixels) -> Vectors:
    flat = batch[:, :, ::8, ::8].reshape(len(batch), -1) + 1e-3
    unit: Vectors = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return unit


def test_a_view_is_computed_once(shop: Path, plain_model: Path, tmp_path: Path) -> None:
    model, workspace, photos = open_model(plain_model), Workspace(tmp_path / "w"), open_catalog(shop)
    first = feature_cache.cached(photos, "light1-seed0", model, forward, workspace)
    assert (first.fresh, len(first.embeddings.items)) == (12, 12)
    (shop / "product-00" / "0.png").write_bytes(encoded(photo(50)))
    os.utime(shop / "product-00" / "1.png", (1, 1))
    again = feature_cache.cached(open_catalog(shop), "light1-seed0", model, forward, workspace)
    assert again.fresh == 1
    assert np.array_equal(again.embeddings.vectors[1:], first.embeddings.vectors[1:])
    assert feature_cache.cached(photos, "light2-seed0", model, forward, workspace).fresh == 12
    assert feature_cache.cached(photos, "plain", model, forward, workspace).fresh == 12


def test_views_are_stacked_in_the_order_of_the_images(shop: Path, plain_model: Path, tmp_path: Path) -> None:
    model, workspace, photos = open_model(plain_model), Workspace(tmp_path / "w"), open_catalog(shop)
    stacked = feature_cache.stacked(photos, ["plain", "flip"], model, forward, workspace)
    plain = feature_cache.cached(photos, "plain", model, forward, workspace).embeddings
    assert stacked.shape == (2, 12, plain.dim)
    assert torch.equal(stacked[0], torch.from_numpy(np.array(plain.vectors)))
    assert not torch.allclose(stacked[0], stacked[1])


def test_an_image_that_goes_away_meanwhile_is_reported(shop: Path, plain_model: Path, tmp_path: Path) -> None:
    photos = open_catalog(shop)
    (shop / "product-00" / "0.png").unlink()
    with pytest.raises(CatalogError, match="went away"):
        feature_cache.stacked(photos, ["plain"], open_model(plain_model), forward, Workspace(tmp_path / "w"))
