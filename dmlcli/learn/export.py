"""From a network to a saved model with an inference graph, which is kept only if it gives the same vectors."""

import contextlib
import io
import logging
import platform
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dmlcli import model, progress
from dmlcli.embeddings import Vectors
from dmlcli.graph import open_graph, optimise
from dmlcli.image import Pixels
from dmlcli.learn.network import Network
from dmlcli.model import Model, ModelRecord

_TOLERANCE = 1e-3  # of the cosine between the graph's vector and the network's
_LIBRARIES = ("dmlcli", "torch", "torchvision", "onnx", "onnxruntime")


def save(folder: Path, network: Network, record: ModelRecord, samples: Pixels) -> Model:
    """Save a network as a model.

    Args:
        record: all but the fingerprint, the head, the length of the vectors and the versions, which are filled in here.
        samples: (B, 3, H, W) real images on which the graph must agree with the network.
    """
    network = network.cpu().eval().to(memory_format=torch.contiguous_format)
    weights = {name: value.detach().contiguous().numpy() for name, value in network.state_dict().items()}
    record = replace(
        record,
        head=network.head.settings,
        dim=network.head.dim,
        pooling=network.pooling,
        mirror=network.mirror,
        fingerprint=model.fingerprint(weights, shape(network, record), record.image),
        versions={"python": platform.python_version()} | {library: version(library) for library in _LIBRARIES},
    )
    with torch.inference_mode():
        expected: Vectors = network(torch.from_numpy(samples)).numpy()
    try:
        return model.save(folder, record, weights, lambda file: _write_graph(file, network, samples, expected))
    except _Unfaithful as error:
        progress.warn(f"the model is saved without its light inference graph, queries will load torch: {error}")
        return model.save(folder, record, weights, None)


def shape(network: Network, record: ModelRecord) -> dict[str, Any]:
    """What the weights do not say of a network: part of its fingerprint."""
    views = {"pooling": network.pooling, "mirror": network.mirror}  # told only where they are not as published
    return {"backbone": record.backbone} | {key: value for key, value in views.items() if value} | network.head.settings


class _Unfaithful(Exception):
    """The graph could not be made, or its vectors are not the network's."""


def _write_graph(file: Path, network: Network, samples: Pixels, expected: Vectors) -> None:
    plain = file.with_suffix(".plain")
    try:
        _export(plain, network, samples)
        optimise(plain, file, model.GRAPH_WEIGHTS)
        found = open_graph(file)(samples)
    except Exception as error:  # three libraries at work, each with its own kinds of failure
        raise _Unfaithful(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error
    finally:
        plain.unlink(missing_ok=True)
    distance = float(1 - (found * expected).sum(axis=1).min())
    if not distance <= _TOLERANCE:
        raise _Unfaithful(f"its vectors differ by {distance:.1e} in cosine")


def _export(file: Path, network: Network, samples: Pixels) -> None:
    example = (torch.from_numpy(samples[:2] if len(samples) > 1 else np.repeat(samples, 2, axis=0)),)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            input_names=["images"],
            output_names=["embeddings"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program is not None
        program.save(str(file), external_data=False)
