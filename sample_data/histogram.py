"""Color-histogram embeddings of a folder of product photos: the plain baseline to search with.

    python sample_data/histogram.py FOLDER OUT.npz

Every image below FOLDER is taken; its product is the name of the folder that holds it. OUT.npz gets `embeddings`
(N, 512) float32 unit vectors, `labels` (N,) product names and `paths` (N,) relative to FOLDER. Needs numpy and Pillow.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BINS = 8
"""Bins per color channel; the histogram is joint, so it has BINS cubed."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def embed(path: Path) -> NDArray[np.float32]:
    """The square root of the image's joint RGB histogram, so that a dot product compares two by Hellinger affinity."""
    with Image.open(path) as image:
        channels = np.asarray(image.convert("RGB"), dtype=np.int64) * BINS // 256
    cells = (channels[..., 0] * BINS + channels[..., 1]) * BINS + channels[..., 2]
    counts = np.bincount(cells.ravel(), minlength=BINS**3)
    vector: NDArray[np.float32] = np.sqrt(counts / counts.sum()).astype(np.float32)
    return vector


def main() -> None:
    """Read the command line, embed the folder and write the archive."""
    parser = argparse.ArgumentParser(description="Write color-histogram embeddings of a folder of product photos.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT.npz")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        parser.error(f"no images below {arguments.folder}")
    np.savez_compressed(
        arguments.out,
        embeddings=np.stack([embed(path) for path in paths]),
        labels=np.array([path.parent.name for path in paths]),
        paths=np.array([path.relative_to(arguments.folder).as_posix() for path in paths]),
    )
    print(f"{len(paths)} images, {len({path.parent for path in paths})} products -> {arguments.out}")


if __name__ == "__main__":
    main()
