"""Everything that is written goes through here, so that a crash or a full disk leaves the old or the new, never half.

files     single files: whole or not at all; into devices and pipes; symbolic links are kept
folders   folders that change places with their draft in one step
arrays    .npy files, written row by row with their space reserved first
records   JSON files, and how they name other paths
locks     one writer at a time
failures  "no space", "read-only", "not permitted" of any library as one error with place and size
paths     drafts, links, fsync
"""

from dmlcli.disk.arrays import npy_rows
from dmlcli.disk.failures import CannotWrite, check_room, reserve, writing
from dmlcli.disk.files import check_writable, new_file, write_text
from dmlcli.disk.folders import check_replaceable, identity, make_folder, new_folder, restore, settled
from dmlcli.disk.locks import Locked, is_locked, lock, only_writer
from dmlcli.disk.paths import beside, followed
from dmlcli.disk.records import dereference, read_json, reference, write_json

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
    "lock",
    "make_folder",
    "new_file",
    "new_folder",
    "npy_rows",
    "only_writer",
    "read_json",
    "reference",
    "reserve",
    "restore",
    "settled",
    "write_json",
    "write_text",
    "writing",
]
