"""Atomic writes of files and folders: a crash or a full disk leaves the old or the new version.

files       single files: whole or not at all; into devices and pipes; symbolic links are kept
folders     folders that change places with their draft in one step
arrays      .npy files, written row by row with their space reserved first
json_files  writing JSON files, and how they name other paths
records     reading JSON files strictly: what each may hold
checksums   whether files are as they were when their checksums were taken
locks       one writer at a time
failures    "no space", "read-only", "not permitted" of any library as one error with place and size
paths       drafts, links, fsync
readers     what a reader must know of all this; a query loads no more
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmlcli.storage.arrays import npy_rows
    from dmlcli.storage.failures import CannotWrite, check_room, reserve, writing
    from dmlcli.storage.files import check_writable, link_or_copy, new_file, write_text
    from dmlcli.storage.folders import check_replaceable, make_folder, new_folder
    from dmlcli.storage.json_files import reference, write_json
    from dmlcli.storage.locks import Locked, is_locked, lock, only_writer
    from dmlcli.storage.paths import beside, followed
    from dmlcli.storage.readers import dereference, identity, restore, settled

__all__ = [
    "CannotWrite",
    "Locked",
    "beside",
    "check_replaceable",
    "check_room",
    "check_writable",
    "dereference",
    "followed",
    "identity",
    "is_locked",
    "link_or_copy",
    "lock",
    "make_folder",
    "new_file",
    "new_folder",
    "npy_rows",
    "only_writer",
    "reference",
    "reserve",
    "restore",
    "settled",
    "write_json",
    "write_text",
    "writing",
]
_MODULES = {
    "arrays": ("npy_rows",),
    "failures": ("CannotWrite", "check_room", "reserve", "writing"),
    "files": ("check_writable", "link_or_copy", "new_file", "write_text"),
    "folders": ("check_replaceable", "make_folder", "new_folder"),
    "locks": ("Locked", "is_locked", "lock", "only_writer"),
    "paths": ("beside", "followed"),
    "readers": ("dereference", "identity", "restore", "settled"),
    "json_files": ("reference", "write_json"),
}


def __getattr__(name: str) -> Any:
    """Import a module of this package when one of its names is first used."""
    for module, names in _MODULES.items():
        if name in names:
            found = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__} has no attribute {name}")
