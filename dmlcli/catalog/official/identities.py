"""The common layout of Market-1501 and DukeMTMC-reID: three folders, with product and camera in file names."""

import re
from collections.abc import Iterator
from pathlib import Path

from dmlcli import progress
from dmlcli.catalog.catalog import Item
from dmlcli.errors import CatalogError

_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_NAME = re.compile(r"(-1|\d+)_c(\d+)(s\d+_\d+|_f\d+).*\.jpg", re.IGNORECASE)
_JUNK, _DISTRACTOR = "-1", "0000"


def is_here(root: Path, mark: str) -> bool:
    """Return whether the three folders exist and the first queries are named like one of the two data sets.

    Args:
        mark: what follows the number of the camera: s, a sequence, in Market-1501; _f, a frame, in DukeMTMC-reID.
    """
    if not all((root / folder).is_dir() for folder in _FOLDERS.values()):
        return False
    found = (_NAME.fullmatch(file.name) for file in (root / "query").iterdir() if file.name[0] != ".")
    return any(match is not None and match[3].startswith(mark) for match in found)


def items(root: Path) -> Iterator[Item]:
    """Yield names `0002_c1s1_000451_03.jpg`: product 0002, source c1.

    Junk (-1) is left out, as the protocol requires; distractors (0000) stay in the gallery without a product.
    """
    junk = 0
    for split, folder in _FOLDERS.items():
        for name in sorted(file.name for file in (root / folder).iterdir()):
            if name[0] == "." or not name.lower().endswith(".jpg"):
                continue
            match = _NAME.fullmatch(name)
            if match is None:
                raise CatalogError(f"{root / folder / name} is not named like the images of this data set")
            product, camera, _ = match.groups()
            if product == _JUNK:
                junk += 1
                continue
            known = "" if product == _DISTRACTOR else product
            yield Item(f"{folder}/{name}", known, split=split, source=f"c{camera}")
    if junk:
        progress.note(f"{junk} junk images (-1) of {root} are left out, as the protocol requires")
