"""Maps at the cut of a backbone, computed once for each view of each image and read from disk while its top trains.

They are large (MobileNet 40 kB an image and view, ResNet-50 400 kB): float16, memory-mapped, for one backbone at a
time, and never more than half of the disk that is free.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmlcli import prefetch, progress, storage
from dmlcli.catalog import Photo
from dmlcli.errors import CannotRun
from dmlcli.image import Pixels
from dmlcli.learn.data.augmentation import fixed_view
from dmlcli.learn.networks.inference import search_dtype
from dmlcli.model import Model
from dmlcli.storage import records

_ROWS, _MARKS = "maps.npy", "maps.json"
_SHARE = 0.5  # of the free disk
_BATCH = 32
_MOST = 65504.0  # the largest float16

Below = Callable[[Tensor], Tensor]
Rows = NDArray[np.float16]


@dataclass(frozen=True)
class ActivationCache:
    """The maps of all photos, computed when they are first used."""

    files: Sequence[Photo]  # (N,)
    digests: Sequence[str]  # (N,) of their content
    views: Sequence[str]
    model: Model  # the frozen backbone
    folder: Path
    mirror: bool  # whether search sees the second view too

    def kept(self, stem: Below, device: torch.device) -> list[Rows]:
        """Return the maps (N, ...) of as many views as the disk has room for, those computed that are not there yet.

        Raises:
            CannotRun: the disk has no room for the views that search sees.
        """
        image = self.model.record.image
        with torch.inference_mode():
            shape = stem(torch.zeros(1, 3, image.crop, image.crop, device=device)).shape[1:]
        names = self._that_fit(2 * len(self.files) * shape.numel())
        wanted = {self._place(name).name for name in names}
        for stale in self.folder.glob("*") if self.folder.exists() else ():
            if stale.name not in wanted:
                shutil.rmtree(stale, ignore_errors=True)
        return [self._of_view(name, stem, tuple(shape), device) for name in names]

    def _that_fit(self, bytes_a_view: int) -> list[str]:
        """Return the first views, as many as fit onto the disk."""
        missing = [name for name in self.views if not self._place(name).exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(self.folder).free * _SHARE
        fitting = len(self.views) - len(missing) + int(room // max(1, bytes_a_view))
        least, each = 2 if self.mirror else 1, bytes_a_view / 2**30
        if fitting < least:
            raise CannotRun(
                f"the maps of {len(self.files)} images take {least * each:.1f} GB, and half of what is free for "
                f"{self.folder} is {room / 2**30:.1f} GB",
                hint="-w DIR on a larger disk, --tune head, or --tune all, which keeps no maps",
            )
        if fitting < len(self.views):
            progress.note(f"the disk has room for the maps of {fitting} of {len(self.views)} views")
        names = list(self.views[:fitting])
        size = f"{len(names) * each:.1f} GB" if len(names) * each >= 1 else f"{len(names) * each * 1024:.0f} MB"
        progress.note(f"maps of {len(names)} views below the last stage: {size} in {self.folder}")
        return names

    def _place(self, view: str) -> Path:
        return self.folder / f"{self.model.record.fingerprint}-{view}"

    def _of_view(self, view: str, stem: Below, shape: tuple[int, ...], device: torch.device) -> Rows:
        place = self._place(view)
        try:
            rows: Rows = np.load(place / _ROWS, mmap_mode="r")
            if records.read_object(place / _MARKS)["digests"] == [*self.digests] and rows.shape[1:] == shape:
                return rows
        except (OSError, ValueError, KeyError):
            pass
        with storage.new_folder(place, (_ROWS, _MARKS)) as draft:
            with storage.npy_rows(draft / _ROWS, np.float16, (len(self.files), *shape)) as append:
                for maps in self._computed(view, stem, device):
                    append(maps)
            storage.write_json(draft / _MARKS, {"digests": [*self.digests]})
        return np.load(place / _ROWS, mmap_mode="r")  # type: ignore[no-any-return]

    def _computed(self, view: str, stem: Below, device: torch.device) -> Iterator[Rows]:
        """Batches of maps, in the order of the files."""
        looked, dtype = fixed_view(self.model.record.image, view), search_dtype(device)

        def forward(batch: list[Pixels]) -> Rows:
            images = torch.from_numpy(np.stack(batch)).to(device, memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                maps: Rows = stem(images).float().clamp(-_MOST, _MOST).half().cpu().numpy()
            return maps

        tracked = progress.track(self.files, f"maps, {view.split('-')[0]} view")
        with closing(prefetch.in_order(lambda file: looked(file.read_bytes()), tracked, 2 * _BATCH)) as read:
            batch: list[Pixels] = []
            for one in read:
                batch.append(one.result())
                if len(batch) == _BATCH:
                    yield forward(batch)
                    batch = []
            if batch:
                yield forward(batch)


def taken(maps: Sequence[Rows], views: Iterable[int], rows: Iterable[int], device: torch.device) -> Tensor:
    """Return the maps (B, ...) of some rows as float32, each from a view of its own.

    Args:
        maps: (N, ...) of each view.
        views: (B,) the view of each row.
        rows: (B,).
        device: of the result.
    """
    found = np.stack([maps[view][row] for view, row in zip(views, rows, strict=True)])
    tensor = torch.from_numpy(found).to(device).float()
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
