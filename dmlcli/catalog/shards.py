"""Tar files in WebDataset layout: `key.jpg` with `key.json`, `.cls` or `.txt`.

The fields of the JSON are columns, found by their usual names or by options like those of a table; without one that
names the product it is the class (`.cls`), or else the text (`.txt`).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from dmlcli import progress
from dmlcli.catalog.catalog import Catalog
from dmlcli.catalog.columns import Columns, items_of, text_of, usual_column
from dmlcli.catalog.file_names import is_called_image, is_hidden, is_system_folder, is_users
from dmlcli.catalog.table_data import Table
from dmlcli.errors import CatalogError, ImageError
from dmlcli.image import archives
from dmlcli.report.skipped import Skipped

_MOST_BYTES = 1 << 24  # of the file that describes one image
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def find_shards(path: Path) -> list[Path]:
    """Return the tar files that a path means: itself, `shard-{000..009}.tar`, or those of a folder without folders."""
    if archives.is_remote(path) or (path.suffix == archives.SUFFIX and not path.is_dir()):
        shards = [Path(name) for name in _expanded(str(path))]
        return [shard for shard in shards if shard.suffix == archives.SUFFIX]
    if not path.is_dir():
        return []
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise CatalogError(f"the folder {path} cannot be read: {error.strerror}") from error
    files = [entry for entry in entries if not is_hidden(entry.name) and not is_system_folder(entry.name)]
    shards = [entry for entry in files if entry.suffix == archives.SUFFIX and entry.is_file()]
    return shards if not any(entry.is_dir() for entry in files) else []


def read_shards(shards: list[Path], columns: Columns) -> Catalog:
    """Read samples from tar files; one that cannot be read, or a sample of one, is listed, and stops nothing."""
    root = shards[0].parent if archives.is_remote(shards[0]) else shards[0].parent.resolve()
    names: dict[str, list[str]] = {"image": []}
    skipped: list[Skipped] = []
    damaged = 0
    rows = 0
    for shard in progress.track(shards, "listing tar files"):
        try:
            for fields in _samples(root / shard.name, skipped):
                for name in fields.keys() - names.keys():
                    names[name] = [""] * rows
                for name, column in names.items():
                    column.append(fields.get(name, ""))
                rows += 1
        except ImageError as error:
            damaged += 1
            skipped.append(Skipped(archives.name_of(shard), str(error)))
    if damaged == len(shards):
        raise CatalogError(
            f"{skipped[0].path} cannot be read: {skipped[0].reason}",
            hint="use an uncompressed tar file in WebDataset layout; URLs must be supported by fsspec",
        )
    if columns.product is None and usual_column("product", names) is None:
        named = next((name for name in ("cls", "txt") if name in names), None)
        if named:
            names["product"] = names.pop(named)
    table = Table(shards[0], names, range(1, rows + 1), unit="sample")
    items, unused = items_of(table, columns, root)
    return Catalog(root, items, [*skipped, *unused])


def _expanded(name: str) -> Iterator[str]:
    """Yield the names of a pattern: `a-{08..11}.tar` gives a-08.tar, a-09.tar, a-10.tar, a-11.tar."""
    found = _RANGE.search(name)
    if found is None:
        yield name
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{name[: found.start()]}{number:0{len(first)}}{name[found.end() :]}")


def _samples(shard: Path, skipped: list[Skipped]) -> Iterator[dict[str, str]]:
    """Yield the columns of each image of a tar file; images whose fields cannot be read go to `skipped`."""
    members = [name for name in archives.members(shard) if is_users(name)]
    known: dict[str, dict[str, str]] = {}
    unread: dict[str, str] = {}  # keys with the reason
    for name in members:
        key, suffix = _parted(name)
        if suffix in ("json", "cls", "txt"):
            try:
                known.setdefault(key, {}).update(_fields(shard, name, suffix))
            except ImageError as error:
                unread[key] = f"{Path(name).name} cannot be read: {error}"
    for name in members:
        key, suffix = _parted(name)
        if not is_called_image(f".{suffix}"):
            continue
        if key in unread:
            skipped.append(Skipped(f"{archives.name_of(shard)}/{name}", unread[key]))
        else:
            yield {**known.get(key, {}), "image": f"{shard.name}/{name}"}


def _parted(name: str) -> tuple[str, str]:
    """Return key and suffix of a name, split at the first dot of the file name."""
    folder, slash, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


def _fields(shard: Path, name: str, suffix: str) -> dict[str, str]:
    """Return what a file beside an image says of it.

    Raises:
        ImageError: it cannot be read, or is not a JSON object.
    """
    data = archives.read(shard, name, most=_MOST_BYTES)
    if suffix != "json":
        return {suffix: data.decode("utf-8", errors="surrogateescape").strip()}
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ImageError("not a JSON object")
    return {field: text_of(value) for field, value in fields.items() if field != "image"}
