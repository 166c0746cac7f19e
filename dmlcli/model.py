"""The noun Model: a folder with weights, recipe, image settings, inference graph and fingerprint. No torch in here."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli import disk, progress
from dmlcli.errors import MismatchError, ModelError
from dmlcli.image import ImageSettings

DEFAULT_BACKBONE = "mobilenet_v3_large"  # small enough for a laptop
SCHEMA = 1
_RECORD, _WEIGHTS, _GRAPH = "model.json", "weights.safetensors", "graph.onnx"
GRAPH_WEIGHTS = "graph.weights"  # the weights as the graph wants them
FILES = (_RECORD, _WEIGHTS, _GRAPH, GRAPH_WEIGHTS)
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ModelRecord:
    """All that a model says of itself, as it stands in model.json."""

    fingerprint: str  # of weights, head and image settings: equal fingerprints give equal embeddings
    backbone: str
    head: dict[str, Any]
    dim: int
    image: ImageSettings
    weights_from: str  # where the backbone's weights came from
    pooling: str | None = None  # of the backbone's last map; None: as the backbone was published
    mirror: bool = False  # whether every image is also seen mirrored
    recipe: dict[str, Any] = field(default_factory=dict)  # as asked
    products: list[str] = field(default_factory=list)  # trained on
    held_out: list[str] = field(default_factory=list)  # validated on, never trained on
    scores: dict[str, Any] = field(default_factory=dict)
    caution: str = ""  # repeated by status and eval
    versions: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each file, to notice damage


@dataclass(frozen=True)
class Model:
    """An opened model folder."""

    folder: Path
    record: ModelRecord

    @property
    def graph(self) -> Path | None:
        """The inference graph, None where the model was saved without."""
        file = self.folder / _GRAPH
        return file if file.exists() else None

    def weights(self) -> dict[str, NDArray[Any]]:
        """The weights by name; raises ModelError where they cannot be read."""
        from safetensors.numpy import load_file

        try:
            return load_file(self.folder / _WEIGHTS)
        except Exception as error:  # safetensors raises its own kinds, one more for each way to be damaged
            raise ModelError(f"the weights of {self.folder} are damaged: {error}", hint="train it again") from error


def fingerprint(weights: Arrays, head: dict[str, Any], image: ImageSettings) -> str:
    """16 hexadecimal digits that differ where embeddings would."""
    import hashlib

    digest = hashlib.sha256(json.dumps([head, asdict(image)], sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()[:16]


def open_model(folder: Path) -> Model:
    """Open a model folder; raises ModelError where there is none or it is damaged."""
    folder = disk.restore(Path(folder))
    try:
        values = disk.read_json(folder / _RECORD)
        if values.pop("schema") != SCHEMA:
            raise ModelError(f"{folder} was written by another version of dmlcli", hint="train it again")
        image = values.pop("image")
        image = ImageSettings(**image | {key: tuple(image[key]) for key in ("mean", "deviation")})
        record = ModelRecord(image=image, **values)
    except FileNotFoundError as error:
        raise ModelError(f"there is no model in {folder}", hint="dmlcli train CATALOG") from error
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ModelError(f"{folder / _RECORD} is damaged: {error}", hint="train it again") from error
    for name, size in record.sizes.items():
        file = folder / name
        if not file.exists() or file.stat().st_size != size:
            raise ModelError(f"{file} is {'damaged' if file.exists() else 'missing'}", hint="train it again")
    return Model(folder, record)


def save(folder: Path, record: ModelRecord, weights: Arrays, write_graph: Callable[[Path], None] | None) -> Model:
    """Write a model folder whole, replacing what was there.

    Args:
        write_graph: writes the inference graph to the path it is given; None for a model without.
    """
    from safetensors.numpy import save_file

    with disk.new_folder(folder, FILES) as draft:
        save_file({name: np.asarray(array, order="C") for name, array in weights.items()}, draft / _WEIGHTS)
        if write_graph is not None:
            write_graph(draft / _GRAPH)
        sizes = {file.name: file.stat().st_size for file in draft.iterdir()}
        values = {"schema": SCHEMA} | asdict(record) | {"sizes": sizes}
        disk.write_json(draft / _RECORD, values)
    return open_model(folder)


def _is_link(folder: Path, other: Path) -> bool:
    """Whether two model folders hold the same files."""
    try:
        return (folder / _RECORD).samefile(other / _RECORD)
    except OSError:
        return False


def open_matching(folder: Path | None, wanted: str, models: Path | None = None) -> Model:
    """Open the model that an index was made with; raises MismatchError where it is another one.

    Args:
        folder: where the model is expected.
        wanted: fingerprint, "" where the index was made from bare embeddings: then any named model will do.
        models: where models lie by fingerprint; taken where `folder` has been replaced since.

    Raises:
        MismatchError: where the model is another one, and the right one is not in `models` either.
    """
    if folder is None:
        raise MismatchError("the index was made from bare embeddings and knows no model", hint="--model MODEL names it")
    kept = models / wanted if models is not None and wanted and (models / wanted).is_dir() else None
    if kept is not None:
        if folder.exists() and not _is_link(folder, kept) and open_model(folder).record.fingerprint != wanted:
            progress.warn(
                f"the model in {folder} has been replaced; this index still uses the one before, {kept}. "
                "dmlcli index CATALOG rebuilds it with the new model"
            )
        return open_model(kept)  # whose files never change, so that nobody reads half of two models
    model = open_model(folder)
    if wanted and model.record.fingerprint != wanted:
        raise MismatchError(
            f"the index was made by model {wanted}, but {folder} is {model.record.fingerprint}",
            hint="dmlcli index CATALOG makes it anew",
        )
    return model
