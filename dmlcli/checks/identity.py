"""Whether two entries of a catalog are one file on disk."""

from collections.abc import Sequence
from pathlib import Path

from dmlcli.catalog import Photo
from dmlcli.types import Box


def file_identity(path: Path) -> tuple[int, int] | str:
    """Return what two spellings of a path, hard links and symbolic links to one file share: device and inode.

    The path itself if the file does not exist, as for a member of a tar file.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return str(path)
    return status.st_dev, status.st_ino


def distinct(photos: Sequence[Photo]) -> list[int]:
    """Return the positions of the photos without repeated ones (the same part of the same file)."""
    first_of: dict[tuple[tuple[int, int] | str, Box | None], int] = {}
    for place, photo in enumerate(photos):
        first_of.setdefault((file_identity(photo.path), photo.box), place)
    return list(first_of.values())
