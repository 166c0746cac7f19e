"""What embeds: an ONNX Runtime provider or torch on a GPU where its vectors are those of the CPU, else the CPU.

Torch looks for a GPU only where `may_have_gpu` finds that one is plausible, because importing it takes longer than a
query does.
"""

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmlcli import dist_env, onnx_runtime, progress, storage
from dmlcli.errors import CannotRun, UsageError
from dmlcli.model import DEVICE_CHECKS, Model
from dmlcli.storage import records
from dmlcli.types import Forward, Pixels, Vectors

TOLERANCE = 1e-4  # of the cosine between a device's vector and the CPU's
_SCHEMA = 1
_CHECKS = {"cosines": records.mapping_of(records.number(-2, 2))}  # lowest cosine to the CPU, by fingerprint and device
_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
_SAMPLES = 8  # photos that a device is checked with; the result for fewer is not kept
_FULL = ("out of memory", "failed to allocate memory", "available memory of")  # how the libraries say it


class Choice(NamedTuple):
    """One way to embed: torch on a device, or an ONNX Runtime provider; neither: the CPU."""

    device: str = ""  # as torch calls it
    provider: str = ""  # as --provider does

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"provider {self.provider}" if self.provider else self.device or "cpu"


def may_have_gpu() -> bool:
    """Return whether a driver of a GPU is loaded (NVIDIA, AMD, WSL), or this is a Mac with Apple's processor."""
    return _is_apple() or any(Path(file).exists() for file in _DRIVERS)


def _is_apple() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"


def choices(device: str, provider: str | None, *, few: bool = False, graph: bool = True) -> list[Choice]:
    """Return what may embed, best first.

    Args:
        device: as --device: auto, cpu, cuda, cuda:N or mps.
        provider: as --provider: cuda, openvino or coreml; None: chosen by the device.
        few: an image or two are embedded, for which `auto` does not start a GPU.
        graph: whether the model has an inference graph, which providers need.

    Raises:
        UsageError: the provider is not installed, or does not run on the device.
        CannotRun: a provider is requested for a model without an inference graph.
    """
    if provider is not None:
        return [_requested(provider, device, graph)]
    if device == "cpu" or (device == "auto" and few):
        return [Choice()]
    gpu = may_have_gpu()
    listed = onnx_runtime.providers() if graph and (gpu or device != "auto") else []  # OpenVINO is slower than the CPU
    if device.startswith("cuda"):
        return [*(Choice(device, "cuda") for _ in range("cuda" in listed)), Choice(device)]
    if device != "auto":
        return [Choice(device)]
    found = [Choice("cuda" if name == "cuda" else "", name) for name in ("cuda", "coreml") if name in listed]
    if gpu and (torch_device := _device_of_torch()):
        found.append(Choice(torch_device))
    return [*found, Choice()]


def _requested(provider: str, device: str, graph: bool) -> Choice:
    if device != "auto" and not (provider == "cuda" and device.startswith("cuda")):
        raise UsageError(f"--provider {provider} does not run on --device {device}", hint="remove --device")
    listed = onnx_runtime.providers()
    if provider not in onnx_runtime.PROVIDERS:
        raise UsageError(f"invalid --provider {provider}", hint="use cuda, openvino or coreml")
    if provider not in listed:
        package = {"cuda": "onnxruntime-gpu", "openvino": "onnxruntime-openvino"}.get(provider, "onnxruntime")
        raise UsageError(
            f"the installed ONNX Runtime has no provider {provider} (it has: {', '.join(listed) or 'cpu only'})",
            hint=f"install {package} instead of onnxruntime, or remove --provider",
        )
    if not graph:
        raise CannotRun(
            f"--provider {provider} needs a model with an inference graph, and this one has none",
            hint="use --device, or train the model again",
        )
    return Choice(device if provider == "cuda" and device != "auto" else "cuda" if provider == "cuda" else "", provider)


def _device_of_torch() -> str:
    """Return the GPU that torch finds; "" if there is none."""
    from dmlcli.learn.networks.inference import pick_device

    found = str(pick_device("auto"))
    return "" if found == "cpu" else found


def open_forward(
    model: Model, device: str = "auto", provider: str | None = None, *, few: bool = False, narrow: bool = False
) -> Forward:
    """Return the function from pixels (B, 3, H, W) to unit vectors (B, D) of a model, on the best device that is exact.

    A device is exact if its vectors of photos have a cosine of 0.9999 or more to those of the CPU. This is measured
    with the first photos that it embeds, once for each model and device, and kept in the model folder. The returned
    function raises CannotRun where the requested device is not exact.

    Args:
        model: an opened model folder.
        device: as --device: auto, cpu, cuda, cuda:N or mps.
        provider: as --provider; None: chosen by the device.
        few: it is called for an image or two, for which `auto` does not start a GPU.
        narrow: the backbone computes in bfloat16, by torch; the vectors are not compared with the CPU's.

    Raises:
        UsageError: the device or the provider is not there.
        CannotRun: the requested device is known not to be exact, or cannot run the model.
    """
    if narrow:
        if provider is not None:
            raise UsageError("--provider computes in float32 only", hint="remove --precision bfloat16 or --provider")
        return sized(_by_torch(model, "cpu" if device == "auto" and not may_have_gpu() else device, narrow=True))
    return _first_exact(model, choices(device, provider, few=few, graph=model.graph is not None), few)


def _first_exact(model: Model, possible: Sequence[Choice], few: bool) -> Forward:
    """Return the forward function of the first choice that runs, and is exact or will be checked."""
    for number, choice in enumerate(possible):
        if choice == Choice():
            return _on_cpu(model, few)
        rest = possible[number + 1 :]
        try:
            forward = sized(_open(model, choice))
            cosine = _known(model.folder).get(_key(model, choice))
            if cosine is None:
                return _checked(model, choice, forward, rest)
            _require(choice, cosine)
        except CannotRun as error:
            _go_on(error, rest)
        else:
            return forward
    raise AssertionError("the last choice is returned or raises")


def _checked(model: Model, choice: Choice, forward: Forward, rest: Sequence[Choice]) -> Forward:
    """Return a forward function that is compared with the CPU's by its first batch, and replaced if it differs."""
    settled: list[Forward] = []

    def settle(batch: Pixels) -> Forward:
        try:
            _require(choice, _measured(model, choice, forward, batch[:_SAMPLES]))
        except CannotRun as error:
            _go_on(error, rest)
            return _first_exact(model, rest, few=False)
        return forward

    def run(batch: Pixels) -> Vectors:
        if not settled:
            settled.append(settle(batch))
        return settled[0](batch)

    return run


def _measured(model: Model, choice: Choice, forward: Forward, samples: Pixels) -> float:
    """Return the lowest cosine between vectors of a device and those of the CPU, and keep it in the model folder."""
    cosines = (forward(samples) * _on_cpu(model, few=True)(samples)).sum(axis=1)
    lowest = float(np.nan_to_num(cosines.min(initial=1.0), nan=-1.0))
    if len(samples) == _SAMPLES:
        values = {"schema": _SCHEMA, "cosines": _known(model.folder) | {_key(model, choice): lowest}}
        with suppress(OSError, CannotRun):  # a model folder that may only be read is checked each time
            storage.write_json(model.folder / DEVICE_CHECKS, values)
    return lowest


def _require(choice: Choice, cosine: float) -> None:
    """Raise CannotRun where vectors with this lowest cosine to the CPU's are not exact."""
    if cosine < 1 - TOLERANCE:
        raise CannotRun(
            f"{choice.name} is not exact enough for this model: its vectors have a cosine of {cosine:.6f} to those of "
            f"the CPU, less than {1 - TOLERANCE}",
            hint="--device cpu",
        )


def _go_on(error: CannotRun, rest: Sequence[Choice]) -> None:
    """Warn that the next choice is used; raise the error where there is none."""
    if not rest:
        raise error
    progress.warn(f"{error}; {rest[0].name} is used instead")


def _on_cpu(model: Model, few: bool) -> Forward:
    if model.graph is not None:
        return onnx_runtime.open_graph(model.graph, few=few)
    return _by_torch(model, "cpu")


def _by_torch(model: Model, device: str, *, narrow: bool = False) -> Forward:
    from dmlcli.learn.networks.inference import open_network

    return open_network(model, narrow=narrow, device=device)


def _open(model: Model, choice: Choice) -> Forward:
    if choice.provider:
        assert model.graph is not None
        number = choice.device.partition(":")[2]
        place = int(number) if number else dist_env.place() if dist_env.world() > 1 else 0
        return onnx_runtime.open_graph(model.graph, provider=choice.provider, place=place)
    return _by_torch(model, choice.device)


def _key(model: Model, choice: Choice) -> str:
    return f"{model.record.fingerprint} {_described(choice)}"


def _described(choice: Choice) -> str:
    """Return the device with what its arithmetic depends on: the library, its version, and the chip."""
    from importlib.metadata import PackageNotFoundError, version

    names = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino") if choice.provider else ("torch",)
    versions = []
    for name in names:
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    return ", ".join([choice.name, *versions, *_chips()])


def _chips() -> Iterator[str]:
    """Yield the machine, and the name of each kind of NVIDIA GPU."""
    yield platform.machine()
    cards = set()
    for file in Path("/proc/driver/nvidia/gpus").glob("*/information"):
        with suppress(OSError):
            lines = file.read_text(errors="replace").splitlines()
            cards |= {line.partition(":")[2].strip() for line in lines if line.startswith("Model:")}
    yield from sorted(cards)


def _known(folder: Path) -> dict[str, float]:
    """Return the cosines that were measured before; none if the file is missing or damaged."""
    try:
        return dict(records.read(folder / DEVICE_CHECKS, _SCHEMA, _CHECKS)["cosines"])
    except (OSError, ValueError):
        return {}


def sized(forward: Forward, note: Callable[[str], object] = progress.note) -> Forward:
    """Return a forward function that halves its batches when the device is out of memory, and says so once.

    Args:
        forward: pixels (B, 3, H, W) to vectors (B, D).
        note: receives the new number of images.
    """
    most: list[int] = []  # images that fit; empty until the memory was full

    def run(batch: Pixels) -> Vectors:
        while True:
            size = min([len(batch), *most])
            try:
                parts = [forward(batch[start : start + size]) for start in range(0, len(batch), max(size, 1))]
            except Exception as error:
                if not _is_full(error) or size <= 1:
                    raise
            else:
                return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else forward(batch)
            _release()
            if not most:
                note("the device is out of memory for a whole batch: smaller ones are used")
            most[:] = [size // 2]

    return run


def _is_full(error: BaseException) -> bool:
    text = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(words in text for words in _FULL)


def _release() -> None:
    """Give back the memory that torch keeps for later."""
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
