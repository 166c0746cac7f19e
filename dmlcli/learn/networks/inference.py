"""A torch module as a plain function of numpy batches, as fast as the device allows."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dmlcli import dist_env, progress
from dmlcli.embeddings import Forward, Vectors
from dmlcli.errors import UsageError
from dmlcli.image import Pixels
from dmlcli.learn.networks import network
from dmlcli.learn.networks.descriptor import Descriptor
from dmlcli.model import Model


def pick_device(name: str) -> torch.device:
    """Return the device called `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; raises UsageError where it is not there.

    Of several processes on a machine each takes a GPU of its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu"
    if name.startswith("cuda") and dist_env.world() > 1:
        if name != "cuda":
            raise UsageError(
                f"--device {name} is one GPU, and each process takes its own", hint="--device cuda, or omit --device"
            )
        name = f"cuda:{dist_env.place()}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device '{name}' is not available", hint="--device takes auto, cpu, cuda, cuda:N or mps"
        ) from error
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def fast_dtype(device: torch.device, precision: str = "auto") -> torch.dtype | None:
    """Return what convolutions run in under autocast; None: float32."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else None
    if device.type == "cuda":
        return torch.bfloat16
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return None


def search_dtype(device: torch.device) -> torch.dtype | None:
    """Return the dtype of the features that heads are fitted to and searches are scored by; None: float32.

    Search computes in float32, and heads fit what they were fitted to: on a GPU the bfloat16 features of MobileNetV2
    have a cosine of 0.97 to those, float32 ones 0.99996, and reading photos takes longer than either.
    """
    return fast_dtype(device) if device.type == "cpu" else None


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given, so that a clock shows how long it took."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forward_of(module: nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> Forward:
    """Return a function from pixels (B, 3, H, W) to the module's output (B, D) as float32.

    Args:
        module: the network, which is moved to the device.
        device: where it runs.
        dtype: what convolutions and products run in under autocast; None: float32 throughout.
    """
    module = module.to(device).to(memory_format=torch.channels_last).eval()

    def forward(batch: Pixels) -> Pixels:
        images = torch.from_numpy(batch).to(device, memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            output: Pixels = module(images).float().cpu().numpy()
        return output

    return forward


def open_network(model: Model, *, narrow: bool = False, device: str = "cpu") -> Forward:
    """Return the forward function of a saved model, without its inference graph.

    Args:
        model: an opened model folder.
        narrow: the backbone computes in bfloat16; the head, which is quick, stays exact.
        device: as `pick_device` takes it.

    Raises:
        UsageError: the device is not available.
    """
    chosen = pick_device(device)
    opened = network.open_network(model)
    if narrow and chosen.type == "cpu":
        if not torch.cpu._is_avx512_bf16_supported():
            progress.warn("this processor has no arithmetic for bfloat16: float32 would be faster")
        if any(isinstance(part, Descriptor) for part in opened.modules()):
            return forward_of(opened, chosen, fast_dtype(chosen))  # in which the descriptor keeps its digits
        opened.backbone = nn.Sequential(_Narrowed(), _folded(opened.backbone).to(torch.bfloat16))
    return forward_of(opened, chosen, fast_dtype(chosen) if narrow and chosen.type != "cpu" else None)


class _Narrowed(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.to(torch.bfloat16)


def _folded(backbone: nn.Module) -> nn.Module:
    """Return the same function with batch norms folded into the convolutions before them, where torch can follow it."""
    from torch.fx.experimental.optimization import fuse

    try:
        return fuse(backbone.eval())
    except Exception:  # whatever it cannot follow it can run as it is
        return backbone


def head_forward(model: Model) -> Callable[[Vectors], Vectors]:
    """Return the head of a model as a function of unit features (B, F) to unit vectors (B, D), on the CPU."""
    head = network.open_network(model).head

    def forward(features: Vectors) -> Vectors:
        with torch.inference_mode():
            vectors: Vectors = head(torch.from_numpy(features)).numpy()
        return vectors

    return forward
