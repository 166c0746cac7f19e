"""The photos that a model was fitted on, in its folder, so that it can be fitted again without some of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dmlcli import storage
from dmlcli.model import FITTED
from dmlcli.storage import records

_SCHEMA = 1
_FIELDS = {"photos": records.mapping_of(records.list_of(records.TEXT))}


def write(folder: Path, photos: Iterable[tuple[str, str]]) -> None:
    """Write the photos into the folder of a model.

    Args:
        folder: of the model.
        photos: the digest of the content of each, and its product.
    """
    by_product: dict[str, list[str]] = defaultdict(list)
    for digest, product in photos:
        by_product[product].append(digest)
    storage.write_json(folder / FITTED, {"schema": _SCHEMA, "photos": by_product})


def read(folder: Path) -> Mapping[str, Sequence[str]]:
    """Return the digests of each product's photos; none where they are not known, or the file is damaged."""
    try:
        photos: Mapping[str, Sequence[str]] = records.read(folder / FITTED, _SCHEMA, _FIELDS)["photos"]
    except (OSError, ValueError):
        return {}
    return photos
