"""Reading JSON records strictly: model.json, index.json, embeddings.json, run.json, calibration.json.

A record is read only from a regular file of reasonable size. Its entries are checked by name, type and range, so that
the values of an opened record need no further checks.
"""

import json
import math
import os
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

LARGEST = 1 << 28  # bytes of a record: index.json lists removed ids, model.json the products
_MOST = (1 << 63) - 1


class Kind(NamedTuple):
    """What an entry must be: a description for error messages, and the test."""

    expected: str
    fits: Callable[[Any], bool]


Fields = Mapping[str, Kind]

TEXT = Kind("a string", lambda value: type(value) is str and "\0" not in value)
FLAG = Kind("true or false", lambda value: type(value) is bool)
ANYTHING = Kind("a value", lambda value: True)


def whole(least: int = 0, most: int = _MOST) -> Kind:
    """Return a whole number in a range."""
    return Kind(f"a whole number from {least} to {most}", lambda value: type(value) is int and least <= value <= most)


def number(least: float = -math.inf, most: float = math.inf) -> Kind:
    """Return a finite number in a range."""
    described = "a number" if math.isinf(least) and math.isinf(most) else f"a number from {least:g} to {most:g}"
    return Kind(described, lambda value: type(value) in (int, float) and _finite(value) and least <= value <= most)


def one_of(*values: str) -> Kind:
    """Return one of a few texts."""
    return Kind(f"one of {', '.join(map(repr, values))}", lambda value: type(value) is str and value in values)


def optional(kind: Kind) -> Kind:
    """Return a kind, or null."""
    return Kind(f"{kind.expected} or null", lambda value: value is None or kind.fits(value))


def list_of(kind: Kind, length: int | None = None) -> Kind:
    """Return a list whose values are all of a kind."""
    count = "" if length is None else f"{length} times "
    return Kind(
        f"a list of {count}{kind.expected}",
        lambda value: type(value) is list and length in (None, len(value)) and all(map(kind.fits, value)),
    )


def mapping_of(kind: Kind) -> Kind:
    """Return an object with any names, whose values are all of a kind."""
    return Kind(
        f"an object whose values are {kind.expected}",
        lambda value: type(value) is dict and all(map(kind.fits, value.values())),
    )


def record_of(fields: Fields, may_lack: Collection[str] = (), *, closed: bool = True) -> Kind:
    """Return the kind of an object with the given entries.

    Args:
        fields: the kind of each entry.
        may_lack: names of optional entries.
        closed: whether other entries are invalid.
    """
    return Kind(
        f"an object with valid {', '.join(fields)}",
        lambda value: type(value) is dict and not _mistake(value, fields, may_lack, closed),
    )


REFERENCE = record_of({"absolute": TEXT, "relative": TEXT})  # how disk.reference names a path


class OtherVersion(ValueError):
    """A record of another version: whole, but not for this program."""


def read(file: Path, schema: int, fields: Fields, may_lack: Collection[str] = ()) -> dict[str, Any]:
    """Read a record and check every entry.

    Args:
        file: a JSON file.
        schema: the required version; the entry `schema` is checked and not returned.
        fields: the kind of each entry.
        may_lack: names of optional entries.

    Returns:
        The entries by name.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the file cannot be read.
        ValueError: not a regular file, too large, not JSON, of another version, or with an invalid entry.
    """
    value = read_object(file)
    if "schema" not in value:
        raise ValueError("the entry 'schema' is missing")
    version = value.pop("schema")
    if type(version) is not int or version != schema:
        raise OtherVersion("it was written by another version of dmlcli")
    if mistake := _mistake(value, fields, may_lack):
        raise ValueError(mistake)
    return value


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object of any content; raises what `read` raises."""
    try:
        value = json.loads(read_bytes(file), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if type(value) is not dict:
        raise ValueError("it does not hold a JSON object")
    return value


def read_bytes(file: Path, largest: int = LARGEST) -> bytes:
    """Return the bytes of a small regular file; raises ValueError for a pipe, a device, or a file that is too large."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for a writer
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{file.name} is not a regular file")
        if status.st_size > largest:
            raise ValueError(f"{file.name} has {status.st_size} bytes, too large for this kind of file")
        return stream.read(largest + 1)


def _mistake(value: dict[str, Any], fields: Fields, may_lack: Collection[str], closed: bool = True) -> str:
    """Return what is wrong with the entries of an object, "" where nothing is."""
    for name in value:
        if closed and name not in fields:
            return f"unknown entry {name[:60]!r}"
    for name, kind in fields.items():
        if name not in value:
            if name not in may_lack:
                return f"the entry {name!r} is missing"
        elif not kind.fits(value[name]):
            return f"the entry {name!r} is not {kind.expected}"
    return ""


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
