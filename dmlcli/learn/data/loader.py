"""Photos read while something else computes: random views for training, and the features of files through a network."""

import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from dmlcli import prefetch
from dmlcli.catalog import Photo
from dmlcli.embeddings import Forward, Vectors
from dmlcli.image import ImageSettings, view
from dmlcli.learn.data.augmentation import random_view

_BATCH = 64


def features_of(files: Sequence[Photo], settings: ImageSettings, forward: Forward) -> Tensor:
    """Return the features (N, D) of the plain view of each file.

    Args:
        files: (N,) photos.
        settings: size and normalization.
        forward: the function from pixels to features.
    """
    with closing(prefetch.in_order(lambda file: view(file.read_bytes(), settings), files, 2 * _BATCH)) as read:
        rows: list[Vectors] = [forward(np.stack(batch)) for batch in _grouped((one.result() for one in read), _BATCH)]
    return torch.from_numpy(np.concatenate(rows))


def random_views(
    batched: Iterable[list[int]], files: Sequence[Photo], settings: ImageSettings, seed: str, augment: str
) -> Iterator[tuple[list[int], Tensor]]:
    """Read batches of random views in threads, one batch ahead of the one in use.

    Args:
        batched: the rows of each batch.
        files: the photos of all rows.
        settings: size and normalization.
        seed: of the views.
        augment: the name of a preset.
    """

    def read(row: int) -> Vectors:
        return random_view(files[row].read_bytes(), settings, random.Random(f"{seed}/{row}"), augment)

    with ThreadPoolExecutor(prefetch.cores()) as threads:
        waiting: tuple[list[int], Iterator[Vectors]] | None = None
        for rows in chain(batched, [None]):
            coming = (rows, threads.map(read, rows)) if rows is not None else None
            if waiting is not None:
                yield waiting[0], torch.from_numpy(np.stack(list(waiting[1])))
            waiting = coming


def _grouped(items: Iterable[Vectors], size: int) -> Iterator[list[Vectors]]:
    group: list[Vectors] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
