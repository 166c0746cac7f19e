"""Tar files of samples, as WebDataset lays them out: `key.jpg`, and what it shows in `key.json`, `.cls` or `.txt`.

The fields of the JSON are columns, found by their usual names or by options like those of a table; without one that
names the product it is the class (`.cls`), or else the text (`.txt`).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from dmlcli import progress
from dmlcli.catalog.columns import Columns, items_of, text_of, usual_column
from dmlcli.catalog.items import Catalog
from dmlcli.errors import CatalogError, ImageError
from dmlcli.image import SUFFIXES, archives
from dmlcli.report.skipped import Skipped

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def find_shards(path: Path) -> list[Path]:
    """The tar files that a path means: itself, `shard-{000..009}.tar`, or those of a folder without folders."""
    if archives.is_remote(path) or (path.suffix == archives.SUFFIX and not path.is_dir()):
        shards = [Path(name) for name in _expanded(str(path))]
        return [shard for shard in shards if shard.suffix == archives.SUFFIX]
    if not path.is_dir():
        return []
    files = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    shards = [entry for entry in files if entry.suffix == archives.SUFFIX and entry.is_file()]
    return shards if not any(entry.is_dir() for entry in files) else []


def read_shards(shards: list[Path], columns: Columns) -> Catalog:
    """Read samples from tar files; one that cannot be read is listed, and stops nothing."""
    root = shards[0].parent if archives.is_remote(shards[0]) else shards[0].parent.resolve()
    table: dict[str, list[str]] = {"image": []}
    skipped: list[Skipped] = []
    rows = 0
    for shard in progress.track(shards, "listing tar files"):
        try:
            for fields in _samples(root / shard.name):
                for name in fields.keys() - table.keys():
                    table[name] = [""] * rows
                for name, column in table.items():
                    column.append(fields.get(name, ""))
                rows += 1
        except ImageError as error:
            skipped.append(Skipped(archives.name_of(shard), str(error)))
    if len(skipped) == len(shards):
        raise CatalogError(
            f"{skipped[0].path} cannot be read: {skipped[0].reason}",
            hint="a tar file that is not compressed, as WebDataset writes it; by URL, one that fsspec knows",
        )
    if columns.product is None and usual_column("product", table) is None:
        named = next((name for name in ("cls", "txt") if name in table), None)
        if named:
            table["product"] = table.pop(named)
    items, unused = items_of(dict(table), columns, shards[0])
    return Catalog(root, items, [*skipped, *(Skipped(str(root / path), reason) for path, reason in unused)])


def _expanded(name: str) -> Iterator[str]:
    """`a-{08..11}.tar` -> a-08.tar, a-09.tar, a-10.tar, a-11.tar."""
    found = _RANGE.search(name)
    if found is None:
        yield name
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{name[: found.start()]}{number:0{len(first)}}{name[found.end() :]}")


def _samples(shard: Path) -> Iterator[dict[str, str]]:
    """The columns of each image of a tar file."""
    members = archives.members(shard)
    known: dict[str, dict[str, str]] = {}
    for name in members:
        key, suffix = _parted(name)
        if suffix in ("json", "cls", "txt"):
            known.setdefault(key, {}).update(_facts(shard, name, suffix))
    for name in members:
        key, suffix = _parted(name)
        if suffix.rpartition(".")[2] in SUFFIXES:
            yield {**known.get(key, {}), "image": f"{shard.name}/{name}"}


def _parted(name: str) -> tuple[str, str]:
    """Key and suffix: all from the first dot of the file's name on."""
    folder, slash, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


def _facts(shard: Path, name: str, suffix: str) -> dict[str, str]:
    text = archives.read(shard, name).decode("utf-8", errors="surrogateescape").strip()
    if suffix != "json":
        return {suffix: text}
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise CatalogError(f"{name} in {shard} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CatalogError(f"{name} in {shard} is no JSON object", hint='{"product": "4711", …} for each image')
    return {field: text_of(value) for field, value in fields.items() if field != "image"}
