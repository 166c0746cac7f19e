"""Features of the frozen backbone, computed once for each view of each image and cached in the workspace."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dmlcli.catalog import Catalog
from dmlcli.embeddings import Computed, Forward, clear_shards, compute, open_shards, save, save_shard
from dmlcli.errors import CatalogError
from dmlcli.learn.data.augmentation import fixed_view
from dmlcli.model import Model
from dmlcli.workspace import Workspace


def cached(photos: Catalog, view: str, frozen: Model, forward: Forward, workspace: Workspace) -> Computed:
    """Return unit features of one view of every readable image, from the cache where their content is unchanged.

    What is computed before an interruption is kept beside the cache, part by part, and taken from there the next time.

    Args:
        photos: the catalog.
        view: the name of the view.
        frozen: the frozen backbone.
        forward: its function from pixels to features.
        workspace: has the cache.
    """
    folder = workspace.features(frozen.record.fingerprint, view)
    name = frozen.record.fingerprint if view == "plain" else f"{frozen.record.fingerprint}/{view}"
    parts = list(open_shards(folder))
    computed = compute(
        photos,
        fixed_view(frozen.record.image, view),
        forward,
        name,
        known=[*workspace.known(folder), *parts],
        label=f"features, {view.split('-')[0]} view",
        keep=lambda done: save_shard(folder, done),
    )
    if computed.fresh or parts:
        save(folder, computed.embeddings)
        clear_shards(folder)
    return computed


def stacked(photos: Catalog, views: Sequence[str], frozen: Model, forward: Forward, workspace: Workspace) -> Tensor:
    """Return features (V, N, F) of several views of images that were readable a moment ago.

    Args:
        photos: a catalog of readable images.
        views: the names of the views.
        frozen: the frozen backbone.
        forward: its function from pixels to features.
        workspace: has the cache.
    """
    computed = [cached(photos, view, frozen, forward, workspace).embeddings for view in views]
    if any(len(embeddings.items) != len(photos.items) for embeddings in computed):
        raise CatalogError(f"images in {photos.root} went away while they were being read", hint="run it again")
    return torch.from_numpy(np.stack([embeddings.vectors for embeddings in computed]))
