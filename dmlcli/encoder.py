"""From images to unit vectors with a trained model: by its inference graph where it carries one, else by torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlcli import disk, processes, progress
from dmlcli.arrays import Forward, Pixels, Vectors, View
from dmlcli.graph import open_graph
from dmlcli.image import ImageSettings, view
from dmlcli.model import DEFAULT_BACKBONE, Model, open_model

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog
    from dmlcli.embeddings import Computed, Embeddings
    from dmlcli.workspace import Workspace


def find_or_make_model(named: Path | None, place: "Workspace", photos: "Catalog") -> Model:
    """The model that is named, or the workspace's, or else the pretrained backbone, saved there as it is."""
    if processes.rank() > 0 and named is None:
        processes.wait_until(place.model.exists)  # the one that leads makes it
    if named is not None or disk.restore(place.model).exists():
        return open_model(named or place.model)
    from dmlcli.learn import frozen, weights  # torch starts here

    progress.note(f"there is no trained model yet: the pretrained {DEFAULT_BACKBONE} is used as it is")
    start = weights.resolve(DEFAULT_BACKBONE, "auto")
    return frozen.save(place.model, frozen.build(start), start, photos)


class Encoder:
    """A model ready to embed.

    `view` turns the bytes of an image file into pixels (3, H, W), `forward` a batch of them into unit vectors (B, D).
    With `views` (flip, crops), an image is what several views of it are on average; `few` says that it is made for an
    image or two, `narrow` that bfloat16 is exact enough.
    """

    def __init__(self, model: Model, views: str = "", *, few: bool = False, narrow: bool = False) -> None:
        self.model = model
        self.views = views
        self.fingerprint = model.record.fingerprint
        self.view: View = lambda data: view(data, model.record.image)
        if model.graph is not None and not narrow:
            self.forward = open_graph(model.graph, few=few)
        else:
            from dmlcli.learn.encode import open_network

            self.forward = open_network(model, narrow=narrow)
        if views:
            self.view, self.forward = _several(views, model.record.image), _averaged(self.forward)

    def embed_catalog(
        self,
        photos: "Catalog",
        known: "Sequence[Embeddings]",
        keep_at: Path | None = None,
        *,
        trusting: bool = True,
    ) -> "Computed":
        """Embed the images that `known` does not hold.

        Args:
            photos: what is embedded.
            known: embeddings that may hold some of the images.
            keep_at: where the caller saves the result; until then it is kept beside that, part by part, and what a run
                that was cut short has left there is not computed again.
            trusting: whether a file with the size, times and inode that it had is taken as unchanged unread.

        Returns:
            The embeddings, and what could not be read.

        Raises:
            CatalogError: the catalog went away while it was read.
        """
        return self._computed(photos, known, keep_at, "embedding", keep_all=False, trusting=trusting)

    def embed_part(self, photos: "Catalog", known: "Sequence[Embeddings]", keep_at: Path) -> None:
        """As one of several processes, embed a part of the images and keep it beside `keep_at`.

        The leader comes back when all parts are there, for `embed_catalog` to put together.
        """
        from dmlcli.embeddings import BATCH, is_done, mark_done

        rank, count = processes.rank(), processes.world()
        batches = -(-len(photos.items) // BATCH)  # none is cut in two, so that images meet in it as they always do
        start, end = (BATCH * (batches * number // count) for number in (rank, rank + 1))
        part = replace(photos, items=photos.items[start:end])
        self._computed(part, known, keep_at, f"embedding, part {rank + 1} of {count}", keep_all=True)
        mark_done(keep_at, rank)
        if rank == 0:
            processes.wait_until(lambda: all(is_done(keep_at, other) for other in range(count)))

    def _computed(
        self,
        photos: "Catalog",
        known: "Sequence[Embeddings]",
        keep_at: Path | None,
        label: str,
        *,
        keep_all: bool,
        trusting: bool = True,
    ) -> "Computed":
        from dmlcli.embeddings import compute, open_shards, save_shard

        def keep(done: "Embeddings") -> None:
            if keep_at is not None:
                save_shard(keep_at, done)

        if keep_at is not None:
            known = [*known, *open_shards(keep_at)]

        return compute(
            photos,
            self.view,
            self.forward,
            self.fingerprint,
            views=self.views,
            known=known,
            label=label,
            keep=keep,
            keep_all=keep_all,
            trusting=trusting,
        )

    def embed(self, data: bytes) -> Vectors:
        """The unit vector (1, D) of one image file; raises ImageError where it cannot be read."""
        return self.forward(self.view(data)[None])


def _several(views: str, settings: ImageSettings) -> View:
    """The plain view and its mirror image, or the centre and the four corners of the larger square around it."""

    def flip(data: bytes) -> Pixels:
        plain = view(data, settings)
        return np.stack([plain, plain[:, :, ::-1]])  # (V, 3, H, W)

    def crops(data: bytes) -> Pixels:
        large = view(data, replace(settings, crop=settings.resize))
        far = settings.resize - settings.crop
        starts = [(far // 2, far // 2), (0, 0), (0, far), (far, 0), (far, far)]
        return np.stack([large[:, y : y + settings.crop, x : x + settings.crop] for y, x in starts])  # (V, 3, H, W)

    return {"flip": flip, "crops": crops}[views]


def _averaged(forward: Forward) -> Forward:
    """From batches of several views (B, V, 3, H, W) to the direction of their mean (B, D)."""

    def average(batch: Pixels) -> Vectors:
        vectors = forward(batch.reshape(-1, *batch.shape[2:]))  # (B V, D)
        mean = vectors.reshape(*batch.shape[:2], -1).mean(axis=1)  # (B, D)
        lengths = np.linalg.norm(mean, axis=1, keepdims=True)
        return np.asarray(mean / np.where(lengths == 0, 1, lengths), dtype=np.float32)

    return average
