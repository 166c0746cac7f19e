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
import onnx.parser
import torch
from onnx.compose import add_prefix, merge_models
from torch import Tensor, nn

from dmlcli import model, progress, storage
from dmlcli.embeddings import Vectors
from dmlcli.feature_maps import MAPS
from dmlcli.image import Pixels
from dmlcli.learn.networks.maps import WithMaps
from dmlcli.learn.networks.network import Network
from dmlcli.model import Model, ModelRecord
from dmlcli.onnx_runtime import open_graph, optimize

_TOLERANCE = 1e-3  # of the cosine between the graph's vector and the network's
_LIBRARIES = ("dmlcli", "torch", "torchvision", "onnx", "onnxruntime")


def save(
    folder: Path, network: Network, record: ModelRecord, samples: Pixels, backbone_graph: Path | None = None
) -> Model:
    """Save a network as a model.

    Args:
        folder: of the model.
        network: weights and layers.
        record: all but the fingerprint, the head, the length of the vectors and the versions, which are filled in
            here.
        samples: (B, 3, H, W) real images on which the graph must agree with the network.
        backbone_graph: a graph that gives the features of this very backbone, if there is one: it is built upon,
            which takes a second instead of the ten of a whole export.
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
        return model.save(
            folder, record, weights, lambda file: _write_graph(file, network, samples, expected, backbone_graph)
        )
    except _Unfaithful as error:
        progress.warn(f"the model is saved without its light inference graph, queries will load torch: {error}")
        return model.save(folder, record, weights, None)


def shape(network: Network, record: ModelRecord) -> dict[str, Any]:
    """Return what the weights do not say of a network: part of its fingerprint."""
    views = {"pooling": network.pooling, "mirror": network.mirror}  # recorded only where they are not as published
    return {"backbone": record.backbone} | {key: value for key, value in views.items() if value} | network.head.settings


class _Unfaithful(Exception):
    """The graph could not be made, or its vectors are not the network's."""


def _write_graph(file: Path, network: Network, samples: Pixels, expected: Vectors, backbone: Path | None) -> None:
    plain = file.with_suffix(".plain")
    try:
        graph = _whole(network, samples) if backbone is None else _around(onnx.load(backbone), network, samples)
        onnx.save(graph, plain)
        optimize(plain, file, model.GRAPH_WEIGHTS)
        found = open_graph(file)(samples)
    except Exception as error:  # three libraries at work, each with its own kinds of failure
        storage.check_room(file, error)
        raise _Unfaithful(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error
    finally:
        plain.unlink(missing_ok=True)
    distance = float(1 - (found * expected).sum(axis=1).min())
    if not distance <= _TOLERANCE:
        raise _Unfaithful(f"its vectors differ by {distance:.1e} in cosine")


def _whole(network: Network, samples: Pixels) -> onnx.ModelProto:
    module = WithMaps(network)
    return _export(module, _pair(samples), "images", ["embeddings", *module.names])


def _around(backbone: onnx.ModelProto, network: Network, samples: Pixels) -> onnx.ModelProto:
    """Return the graph of a network whose backbone has one already: only what comes after it is exported."""
    rest = _Rest(network)
    with torch.inference_mode():
        features = network.features_of_view(network.views(_pair(samples)))
    after = _export(rest, features, "features", ["embeddings"])
    seen = _prefixed(backbone, network.mirror)
    if network.mirror:
        before = onnx.parser.parse_model(_MIRRORED)
        before.ir_version = backbone.ir_version
        before.opset_import[0].CopyFrom(after.opset_import[0])
        seen = merge_models(before, seen, [("views", "seen/images")])
    merged = merge_models(seen, after, [("seen/embeddings", "features")])
    merged.graph.output.sort(key=lambda output: output.name in MAPS)  # the embeddings come first, as in a whole export
    return merged


def _prefixed(backbone: onnx.ModelProto, rename_inputs: bool) -> onnx.ModelProto:
    """Return a graph with a prefix to all names but those of its maps."""
    seen = add_prefix(backbone, "seen/", rename_inputs=rename_inputs)
    own = {f"seen/{name}": name for name in MAPS}
    for node in seen.graph.node:
        node.input[:] = [own.get(name, name) for name in node.input]
        node.output[:] = [own.get(name, name) for name in node.output]
    for output in seen.graph.output:
        output.name = own.get(output.name, output.name)
    return seen


_MIRRORED = """
<ir_version: 10, opset_import: ["": 20]>
mirrored (float[batch, 3, height, width] images) => (float[both, 3, height, width] views)
<int64[1] width = {-1}, int64[1] start = {-9223372036854775807}> {
    flipped = Slice(images, width, start, width, width)
    views = Concat<axis = 0>(images, flipped)
}
"""  # what Network.views does; Slice goes backwards from the last column, along the last axis


class _Rest(nn.Module):
    """A network without its backbone: unit features (V B, F) of all views -> unit (B, D)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = Network(nn.Identity(), network.head, network.image, mirror=network.mirror)

    def forward(self, features: Tensor) -> Tensor:
        return self.network.embeddings(features)


def _pair(samples: Pixels) -> Tensor:
    return torch.from_numpy(samples[:2] if len(samples) > 1 else np.repeat(samples, 2, axis=0))


def _export(module: nn.Module, example: Tensor, given: str, found: list[str]) -> onnx.ModelProto:
    """Return a module as a graph from `given` (B, ...) to the outputs `found`, for as many rows as one likes."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=[given],
            output_names=found,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
        assert program is not None
        return program.model_proto
