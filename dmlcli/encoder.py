"""From images to unit vectors with a trained model: by its inference graph where it carries one, else by torch."""

from collections.abc import Sequence
from pathlib import Path

from dmlcli import disk, progress
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Computed, Embeddings, Vectors, View, compute, save
from dmlcli.graph import open_graph
from dmlcli.image import view
from dmlcli.model import DEFAULT_BACKBONE, Model, open_model
from dmlcli.workspace import Workspace


def find_or_make_model(named: Path | None, place: Workspace, photos: Catalog) -> Model:
    """The model that is named, or the workspace's, or else the pretrained backbone, saved there as it is."""
    if named is not None or disk.restore(place.model).exists():
        return open_model(named or place.model)
    from dmlcli.learn import frozen, weights  # torch starts here

    progress.note(f"there is no trained model yet: the pretrained {DEFAULT_BACKBONE} is used as it is")
    start = weights.resolve(DEFAULT_BACKBONE, "auto")
    return frozen.save(place.model, frozen.build(start), start, photos)


class Encoder:
    """A model ready to embed.

    `view` turns the bytes of an image file into pixels (3, H, W), `forward` a batch of them into unit vectors (B, D).
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.fingerprint = model.record.fingerprint
        self.view: View = lambda data: view(data, model.record.image)
        if model.graph is not None:
            self.forward = open_graph(model.graph)
        else:
            from dmlcli.learn.encode import open_network

            self.forward = open_network(model)

    def embed_catalog(self, photos: Catalog, known: Sequence[Embeddings], keep_at: Path | None = None) -> Computed:
        """Embed the images that `known` does not hold; `keep_at` is where rows go when this is cut short."""

        def keep(done: Embeddings) -> None:
            if keep_at is not None:
                save(keep_at, done)

        return compute(photos, self.view, self.forward, self.fingerprint, known=known, keep=keep)

    def embed(self, data: bytes) -> Vectors:
        """The unit vector (1, D) of one image file; raises ImageError where it cannot be read."""
        return self.forward(self.view(data)[None])
