"""Where a backbone's pretrained weights come from: a pip package, torch's cache, a download, a file, or nowhere.

`--weights auto` takes the package (of the default backbone), then the cache, then the download, else falls back to the
built-in descriptor, with a caution that travels with the model; `pretrained` makes that an error; `none` starts from
random numbers; anything else is a file.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import torch
import torchvision
from torch import Tensor

from dmlcli import progress, storage
from dmlcli.errors import CannotRun, UsageError, WeightsError, nearest
from dmlcli.image import ImageSettings
from dmlcli.learn.networks import efficientnet_lite0, timm_backbones, weights_package
from dmlcli.learn.networks.descriptor import IMAGE as DESCRIPTOR_IMAGE

DESCRIPTOR = "descriptor"
_LITE0_URL = (  # timm's file of the same weights
    "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/"
    "tf_efficientnet_lite0-0aa007d2.pth"
)
_TIMEOUT = 20  # seconds without a byte before a download counts as failed


@dataclass(frozen=True)
class Weights:
    """A backbone's starting point: its weights by name (None: none needed or wanted) and what belongs to them."""

    backbone: str
    state: dict[str, Tensor] | None
    image: ImageSettings
    source: str
    caution: str = ""


def backbones() -> list[str]:
    """Return the names that `--backbone` knows, without timm's: torchvision's networks for classification, and ours."""
    return sorted([*torchvision.models.list_models(module=torchvision.models), efficientnet_lite0.NAME, DESCRIPTOR])


def resolve(backbone: str, wanted: str) -> Weights:
    """Find the weights for `backbone`.

    Args:
        wanted: `auto`, `pretrained`, `none`, or the path of a state dict (.pth, .safetensors).

    Raises:
        UsageError: the backbone is unknown.
        WeightsError: the weights cannot be downloaded or read.
    """
    if backbone.startswith(timm_backbones.PREFIX):
        return _of_timm(backbone, wanted)
    if backbone not in backbones():
        raise UsageError(f"unknown backbone '{backbone}'", hint=nearest(backbone, backbones()))
    if backbone == DESCRIPTOR:
        if wanted not in ("auto", "none"):
            raise UsageError("the descriptor backbone has no weights", hint="leave --weights out")
        return Weights(DESCRIPTOR, None, DESCRIPTOR_IMAGE, "built in")
    if backbone == efficientnet_lite0.NAME:
        return _of_lite0(wanted)
    published = torchvision.models.get_model_weights(backbone)
    if wanted == "none":
        return Weights(backbone, None, _image_settings(published.DEFAULT), "none (random)")
    if wanted not in ("auto", "pretrained"):
        # a file says nothing of its pixels: those of the first published weights, the usual 256/224
        return Weights(backbone, _read(Path(wanted)), _image_settings(next(iter(published))), str(wanted))
    try:
        return _published(backbone, published)
    except WeightsError as error:
        if wanted == "pretrained":
            raise
        return _stand_in(backbone, error)


def _of_lite0(wanted: str) -> Weights:
    """Return the same for EfficientNet-Lite0: from its pip package, torch's cache, or the download."""
    name, image = efficientnet_lite0.NAME, efficientnet_lite0.IMAGE
    if wanted == "none":
        return Weights(name, None, image, "none (random)")
    if wanted not in ("auto", "pretrained"):
        return Weights(name, efficientnet_lite0.from_published(_read(Path(wanted))), image, str(wanted))
    try:
        state, source = _lite0_state()
    except WeightsError as error:
        if wanted == "pretrained":
            raise
        return _stand_in(name, error)
    return Weights(name, efficientnet_lite0.from_published(state), image, source)


def _lite0_state() -> tuple[dict[str, Tensor], str]:
    """Return the weights of EfficientNet-Lite0, and where they come from."""
    try:
        data = weights_package.read()
        return _read(io.BytesIO(data)), f"{weights_package.NAME} {weights_package.VERSION} (pip)"
    except WeightsError as of_package:
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(_LITE0_URL).path).name
        try:
            if not file.exists():
                _download(_LITE0_URL, file)
            return _read(file), f"timm's {file.name} ({_LITE0_URL})"
        except WeightsError as error:
            raise WeightsError(f"{of_package}; {error}", hint=f"{of_package.hint}, or {error.hint}") from error


def _of_timm(backbone: str, wanted: str) -> Weights:
    """Return the same for a network of timm, whose weights timm itself fetches and keeps."""
    timm_backbones.check(backbone)
    image = timm_backbones.image_settings(backbone)
    if wanted == "none":
        return Weights(backbone, None, image, "none (random)")
    if wanted not in ("auto", "pretrained"):
        return Weights(backbone, _read(Path(wanted)), image, str(wanted))
    try:
        state, source = timm_backbones.published(backbone)
    except WeightsError as error:
        if wanted == "pretrained":
            raise
        return _stand_in(backbone, error)
    return Weights(backbone, state, image, source)


def _stand_in(backbone: str, error: WeightsError) -> Weights:
    """Return the descriptor, after a warning with the reason; its caution is what status repeats."""
    progress.warn(
        f"no pretrained weights for {backbone} ({error}); falling back to the built-in descriptor, which finds fewer "
        f"products. For more: {error.hint}"
    )
    caution = f"the built-in descriptor is used instead of {backbone} (see --weights)"
    return Weights(DESCRIPTOR, None, DESCRIPTOR_IMAGE, "built in", caution)


def _published(backbone: str, published: Any) -> Weights:
    """Return the cached weights, the default ones first; else the default ones downloaded."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for weights in sorted(published, key=lambda weights: weights != published.DEFAULT):
        file = folder / Path(urlsplit(weights.url).path).name
        if file.exists():
            return Weights(backbone, _read(file), _image_settings(weights), f"{weights} ({file})")
    weights = published.DEFAULT
    file = folder / Path(urlsplit(weights.url).path).name
    _download(weights.url, file)
    return Weights(backbone, _read(file), _image_settings(weights), f"{weights} ({weights.url})")


def _download(url: str, file: Path) -> None:
    """Fetch `url`, check it against the hash in its name as torchvision does, and put it into the cache whole."""
    import hashlib
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        digest = hashlib.sha256()
        with storage.new_file(file) as draft, urlopen(url, timeout=_TIMEOUT) as response, draft.open("wb") as stream:
            size = int(response.headers.get("Content-Length", 0))
            chunks = iter(lambda: response.read(1 << 16), b"")
            for chunk in progress.track(chunks, f"downloading {file.name}", -(-size // (1 << 16)) or None):
                digest.update(chunk)
                stream.write(chunk)
            expected = file.stem.rpartition("-")[2]
            if not digest.hexdigest().startswith(expected):
                raise WeightsError(f"what came from {url} is not the published file", hint="try again")
    except WeightsError:
        raise
    except (OSError, CannotRun) as error:
        if isinstance(error, storage.CannotWrite) and error.is_full:
            raise
        if isinstance(error, HTTPError):
            error.close()
        reason = getattr(error, "reason", None) or error
        raise WeightsError(f"cannot download {url}: {reason}", hint="--weights FILE names a file you have") from error


def _read(file: Path | BinaryIO) -> dict[str, Tensor]:
    """Read a state dict without executing code."""
    if isinstance(file, Path) and not file.is_file():
        raise WeightsError(f"weights not found: {file}", hint="--weights takes auto, pretrained, none or a file")
    try:
        if isinstance(file, Path) and file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state) if isinstance(state, dict) else state
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("it holds no weights by name")
        return state
    except Exception as error:  # pickle, zip and safetensors each fail in their own ways
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{file} cannot be read as weights: {reason}", hint="a state dict of tensors is expected"
        ) from error


def _image_settings(weights: Any) -> ImageSettings:
    preset = weights.transforms()
    return ImageSettings(
        resize=int(preset.resize_size[0]),
        crop=int(preset.crop_size[0]),
        interpolation=preset.interpolation.value
        if preset.interpolation.value in ("bilinear", "bicubic")
        else "bilinear",
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
