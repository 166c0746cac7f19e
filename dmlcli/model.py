"""The model folder: weights, recipe, image settings, inference graph and fingerprint; torch is not imported here."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli import progress, storage
from dmlcli.errors import MismatchError, ModelError
from dmlcli.image import ImageSettings
from dmlcli.storage import checksums, records

DEFAULT_BACKBONE = "efficientnet_lite0"  # small enough for a laptop, and its weights come by pip
UNTRAINED = ("frozen backbone", "pooled features")  # what training keeps where it does not help
SCHEMA = 2
_RECORD, _WEIGHTS, _GRAPH = "model.json", "weights.safetensors", "graph.onnx"
GRAPH_WEIGHTS = "graph.weights"  # the weights as the graph wants them
_DATA = (_WEIGHTS, _GRAPH, GRAPH_WEIGHTS)
DEVICE_CHECKS = "devices.json"  # how close each device that embedded comes to the CPU
FITTED = "fitted.json"  # the photos that it was fitted on
HELD_OUT = "held_out.json"  # scores of the photos that cross-validation held out, query by query
FILES = (_RECORD, *_DATA, checksums.CHECKED, DEVICE_CHECKS, HELD_OUT, FITTED)
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ModelRecord:
    """The content of model.json, one field for each key."""

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
    caution: str = ""  # one line, shown by status
    versions: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each file, to notice damage
    sums: dict[str, str] = field(default_factory=dict)  # checksum of each file; none in models of earlier versions

    @property
    def answers(self) -> dict[str, Any] | None:
        """The fields of `search.confidence.AnswerModel`; None where cross-validation fitted none."""
        found: dict[str, Any] | None = self.scores.get("answers")
        return found

    @property
    def product_weight(self) -> float:
        """The weight of `product_score` that cross-validation fitted; 0, the best image, without."""
        return float((self.answers or {}).get("product_weight", 0.0))

    @property
    def brings_products_together(self) -> bool:
        """Whether it was trained to give different photos of one product nearly the same embedding."""
        return bool(self.products) and self.scores.get("chosen") not in UNTRAINED


_SIDE = records.whole(1, 1 << 16)  # pixels
_TEXTS = records.list_of(records.TEXT)
_IMAGE = {
    "resize": _SIDE,
    "crop": _SIDE,
    "interpolation": records.one_of("bilinear", "bicubic"),
    "mean": records.list_of(records.number(-10, 10), length=3),
    "std": records.list_of(records.number(1e-6, 1e6), length=3),
    "decode": records.one_of("fast", "exact"),
}
_OPEN_SET = {
    "threshold": records.number(-1.001, 1.001),  # a cosine: of equal vectors it may round to just above 1
    "refused": records.number(0, 1),
    "folds": records.whole(),
}
_ANSWERS = {
    "product_weight": records.number(0, 1),
    "sharpness": records.number(0, 1e9),
    "match": records.list_of(records.number(), length=5),
    "unknown": records.list_of(records.number(), length=101),
    "right": records.list_of(records.number(), length=101),
    "photos": records.whole(),
    "folds": records.whole(),
}
_SCORE = records.optional(records.number())
_SCORES = {
    "validation": records.TEXT,
    "map@r": _SCORE,
    "frozen map@r": _SCORE,
    "searches": records.mapping_of(records.mapping_of(_SCORE)),
    "chosen": records.TEXT,
    "product_recall": records.mapping_of(records.mapping_of(records.number(0, 1))),
    "answers": records.optional(records.record_of(_ANSWERS)),
    "open_set": records.optional(records.record_of(_OPEN_SET, may_lack=("refused", "folds"))),
}
_FIELDS = {
    "fingerprint": records.TEXT,
    "backbone": records.TEXT,
    "head": records.mapping_of(records.ANYTHING),
    "dim": records.whole(1, 1 << 20),
    "image": records.record_of(_IMAGE, may_lack=("decode",)),
    "weights_from": records.TEXT,
    "pooling": records.optional(records.TEXT),
    "mirror": records.FLAG,
    "recipe": records.mapping_of(records.ANYTHING),
    "products": _TEXTS,
    "held_out": _TEXTS,
    "scores": records.record_of(_SCORES, may_lack=_SCORES, closed=False),
    "caution": records.TEXT,
    "versions": records.mapping_of(records.TEXT),
    "sizes": records.mapping_of(records.whole()),
    "sums": records.mapping_of(records.TEXT),
}
_EARLIER = ("sums",)  # entries that models of earlier versions lack


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
        """Return the weights by name; raises ModelError where they cannot be read."""
        from safetensors.numpy import load_file

        try:
            return load_file(self.folder / _WEIGHTS)
        except Exception as error:  # safetensors raises its own kinds, one more for each way to be damaged
            raise ModelError(f"the weights of {self.folder} are damaged: {error}", hint="train it again") from error


def feature_difference(model: Model, cached: Model, *, pooling: bool = True) -> str:
    """Return why the features of a model are not those that are cached, in words; "" where they are.

    Args:
        model: any model.
        cached: the frozen backbone that cached features are of.
        pooling: whether the pooling counts.

    Raises:
        ModelError: weights cannot be read.
    """
    own, others = model.record, cached.record
    if own.backbone != others.backbone:
        return f"its backbone is {own.backbone}, and the cached features are of {others.backbone}"
    if own.image != others.image:
        return "its images have another size or are decoded differently than those of the cached features"
    if pooling and own.pooling != others.pooling:
        named = [one or "that of the published network" for one in (own.pooling, others.pooling)]
        return f"its pooling is {named[0]}, and that of the cached features {named[1]}"
    weights, frozen = (
        {name: array for name, array in one.weights().items() if not name.startswith("head.")}
        for one in (model, cached)
    )
    if weights.keys() != frozen.keys() or any(not np.array_equal(weights[name], frozen[name]) for name in weights):
        return "its backbone was trained"
    return ""


def head_arrays(model: Model) -> dict[str, NDArray[Any]]:
    """Return the weights of the head by name; raises ModelError where they cannot be read."""
    from safetensors import safe_open

    try:
        with safe_open(model.folder / _WEIGHTS, "numpy") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys() if name.startswith("head.")}  # noqa: SIM118
    except Exception as error:
        raise ModelError(f"the weights of {model.folder} are damaged: {error}", hint="train it again") from error


def fingerprint(weights: Arrays, head: dict[str, Any], image: ImageSettings) -> str:
    """Return 16 hexadecimal digits that identify the embeddings of a model.

    Args:
        weights: arrays by name.
        head: the configuration of the head.
        image: the image settings.
    """
    import hashlib

    digest = hashlib.sha256(json.dumps([head, asdict(image)], sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()[:16]


def open_model(folder: Path) -> Model:
    """Open a model folder; raises ModelError where there is none or it is damaged."""
    folder = storage.restore(Path(folder))
    try:
        return storage.settled(folder, _open)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(f"no model found in {folder}", hint="dmlcli train CATALOG") from error


def _open(folder: Path) -> Model:
    try:
        values = records.read(folder / _RECORD, SCHEMA, _FIELDS, may_lack=_EARLIER)
        if not set(values.get("sums", {})) | set(values.get("sizes", {})) <= set(_DATA):
            raise ValueError("it lists files that are not part of a model")
    except FileNotFoundError:
        raise
    except records.OtherVersion as error:
        hint = "train it again: dmlcli train CATALOG; or index without training: dmlcli index CATALOG"
        raise ModelError(f"{folder / _RECORD}: {error}", hint=hint) from error
    except (ValueError, OSError) as error:
        raise ModelError(f"{folder / _RECORD} is damaged: {error}", hint="train it again") from error
    image = values.pop("image")
    image |= {key: tuple(image[key]) for key in ("mean", "std") if key in image}
    record = ModelRecord(image=ImageSettings(**image), **values)
    for name in record.sizes | record.sums:
        if not (folder / name).exists():
            raise ModelError(f"{folder / name} is missing", hint="train it again")
    for name, size in record.sizes.items():
        if (folder / name).stat().st_size != size:
            raise ModelError(f"{folder / name} is damaged: it does not have {size} bytes", hint="train it again")
    try:
        checksums.check(folder, record.sums)
    except (ValueError, OSError) as error:
        raise ModelError(f"the model in {folder} is damaged: {error}", hint="train it again") from error
    return Model(folder, record)


def save(folder: Path, record: ModelRecord, weights: Arrays, write_graph: Callable[[Path], None] | None) -> Model:
    """Write a model folder atomically, replacing an existing one.

    Args:
        folder: where the model goes.
        record: what it says of itself; sizes and checksums are filled in here.
        weights: arrays by name.
        write_graph: writes the inference graph to the path it is given; None for a model without.

    Returns:
        The model, opened.

    Raises:
        CannotRun: the folder holds other things, or cannot be written.
    """
    from safetensors.numpy import save_file

    with storage.new_folder(folder, FILES) as draft:
        save_file({name: np.asarray(array, order="C") for name, array in weights.items()}, draft / _WEIGHTS)
        if write_graph is not None:
            write_graph(draft / _GRAPH)
        files = {file.name: file.stat().st_size for file in draft.iterdir()}
        values = {"schema": SCHEMA} | asdict(record) | {"sizes": files, "sums": checksums.sums(draft, files)}
        storage.write_json(draft / _RECORD, values)
        checksums.note(draft, files)
    return open_model(folder)


def _is_link(folder: Path, other: Path) -> bool:
    """Return whether two model folders hold the same files."""
    try:
        return (folder / _RECORD).samefile(other / _RECORD)
    except OSError:
        return False


def open_matching(folder: Path | None, wanted: str, models: Path | None = None) -> Model:
    """Open the model that an index was made with; raises MismatchError where it is another one.

    Args:
        folder: where the model is expected.
        wanted: fingerprint; "" for an index from embeddings without a model, which accepts any given model.
        models: where models lie by fingerprint; taken where `folder` has been replaced since.

    Raises:
        MismatchError: where the model is another one, and the right one is not in `models` either.
    """
    if folder is None:
        raise MismatchError(
            "the index was made from embeddings without a model", hint="specify the model with --model MODEL"
        )
    kept = models / wanted if models is not None and wanted and (models / wanted).is_dir() else None
    if kept is not None:
        if folder.exists() and not _is_link(folder, kept) and open_model(folder).record.fingerprint != wanted:
            progress.warn(
                f"the model in {folder} has been replaced; this index still uses the previous one, {kept}. "
                "dmlcli index CATALOG rebuilds it with the new model"
            )
        return open_model(kept)  # whose files never change, so that a reader never mixes two models
    model = open_model(folder)
    if wanted and model.record.fingerprint != wanted:
        raise MismatchError(
            f"the index was made with model {wanted}, but {folder} is model {model.record.fingerprint}",
            hint="dmlcli index CATALOG rebuilds it",
        )
    return model
