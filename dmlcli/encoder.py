"""From images to unit vectors with a trained model: by its inference graph where it carries one, else by torch."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmlcli import progress
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Computed, Embeddings, Forward, Vectors, View, compute, save
from dmlcli.errors import ModelError
from dmlcli.image import view
from dmlcli.model import DEFAULT_BACKBONE, Model, open_model
from dmlcli.workspace import Workspace


def find_or_make_model(named: Path | None, place: Workspace, photos: Catalog) -> Model:
    """The model that is named, or the workspace's, or else the pretrained backbone, saved there as it is."""
    if named is not None or place.model.exists():
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


def open_graph(file: Path) -> Forward:
    """Open an inference graph; raises ModelError where it is damaged."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads must not burn a core
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a kind of its own for every way to fail
        raise ModelError(f"the inference graph {file} is damaged: {error}", hint="train it again") from error
    name = session.get_inputs()[0].name

    def forward(batch: Vectors) -> Vectors:
        return np.asarray(session.run(None, {name: batch})[0], dtype=np.float32)

    return forward
