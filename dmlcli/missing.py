"""Explanations for missing paths, for train, index, query and doctor."""

import errno
import os
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

_URL = re.compile(r"(?:^|/)([A-Za-z][A-Za-z0-9+.-]+):/(?!/*$)")
_DRIVE = re.compile(r"(?:^|[/\\])[A-Za-z]:[/\\]")
_BETWEEN_PATHS = re.compile(r"[,;|\n]")
_LISTED = 20_000  # names of a folder that are looked at
_CLOSE_AMONG = 2_000  # names that are compared letter by letter
_ROOT = "--root DIR sets the folder that paths are relative to"


def why_missing(path: Path) -> tuple[str, str]:
    """Explain why the file `path` does not exist.

    Args:
        path: as it was looked for, joined to its root; of a file that is there, only its kind is explained.

    Returns:
        The reason, which can follow "cannot read X: ", and a hint what to do; the hint can be empty.
    """
    text = str(path)
    if url := _URL.search(text):
        return f"it is a URL ({url[1]}:), but images are read from disk", (
            "download the images, and list their paths on disk"
        )
    if _DRIVE.search(text):
        return "it is a Windows path with a drive letter", f"list paths relative to a folder; {_ROOT}"
    try:
        return _what_is_there(path)
    except (FileNotFoundError, NotADirectoryError):
        return _nearest(path)
    except PermissionError:
        return _forbidden(path)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", 0) == errno.ELOOP:
            return "it is a circular link", "delete the link"
        if getattr(error, "errno", 0) == errno.ENAMETOOLONG and _BETWEEN_PATHS.search(path.name):
            return _several(path)
        return f"invalid file name: {getattr(error, 'strerror', None) or error}", ""


def _what_is_there(path: Path) -> tuple[str, str]:
    """Return what is wrong with a path that exists; raises OSError if it does not exist."""
    if path.is_symlink() and not path.exists():
        if path.readlink() == Path(path.name):
            return "it is a circular link", "delete the link"
        return f"it is a link to {path.readlink()}, which does not exist", "restore the target, or delete the link"
    path.stat()
    if path.is_dir():
        return "it is a folder, not a file", "list the files inside"
    with path.open("rb") as stream:
        start = stream.read(200).lstrip().lower()
    if not start:
        return "the file is empty", "copy or download it again"
    if start.startswith((b"<!doctype html", b"<html")):
        return "the file is a web page (HTML), not an image", "download the image again: the server sent an error page"
    if start.startswith(b"version https://git-lfs"):
        return "the file is a placeholder of Git LFS", "git lfs pull"
    return "it exists now", ""


def _forbidden(path: Path) -> tuple[str, str]:
    """Return the folder or file of a path that may not be entered or read."""
    for here in reversed([path, *path.parents]):
        try:
            here.stat()
        except PermissionError:
            here = here.parent
        except OSError:
            break
        else:
            if os.access(here, os.X_OK if here.is_dir() else os.R_OK):
                continue
        return f"no permission to read {here}", "run as a user who may read it, or change its mode with chmod"
    return "no permission to read it", "run as a user who may read it, or change its mode with chmod"


def _nearest(path: Path) -> tuple[str, str]:
    """Return why a path is missing, by the part of it that is there."""
    top, missing = path, ""
    while not top.exists() and top != top.parent:
        top, missing = top.parent, top.name
    if not top.is_dir():
        return f"{top} is a file, not a folder", ""
    at_end = top == path.parent
    names = _names(top)
    if names is None:
        return _forbidden(top)
    if not names:
        disk = "no disk is mounted there" if not os.path.ismount(top) else "the disk mounted there is empty"
        return f"'{missing}' not found: the folder {top} is empty", f"perhaps {disk}"
    if other := _spelled_otherwise(path, top, missing, names):
        return other
    if "\\" in str(path) and os.sep == "/" and Path(str(path).replace("\\", "/")).exists():
        return "it has backslashes; the file exists with slashes", "write / instead of \\"
    if len(_BETWEEN_PATHS.split(str(path))) > 1 and _parts_are_paths(path):
        return _several(path)
    if not at_end:
        return f"folder '{missing}' not found in {top}", _ROOT
    close = _close(missing, names)
    return f"file not found in the folder {top}", f"did you mean {close}?" if close else _ROOT


def _spelled_otherwise(path: Path, top: Path, missing: str, names: frozenset[str]) -> tuple[str, str] | None:
    """Return where the folder `top` has the missing name in another spelling: that one."""
    ways = (
        ("the letters' case differs", str.casefold),
        ("an accent is encoded differently", lambda name: unicodedata.normalize("NFC", name)),
        ("it has quotation marks or spaces around it", lambda name: name.strip(" '\"\t")),
        ("it is percent-encoded", unquote),
    )
    if "." not in missing[1:] and top == path.parent:
        found = sorted(name for name in names if Path(name).stem == missing)
        if found:
            return f"it lacks a suffix: the folder has {found[0]}", "add the suffix to the paths"
    for reason, spell in ways:
        found = sorted(name for name in names if spell(name) == spell(missing))
        if found:
            return f"{reason}: the folder {top} has '{found[0]}'", f"write '{found[0]}'"
    stem = Path(missing).stem
    found = sorted(name for name in names if Path(name).stem == stem) if top == path.parent else []
    if found:
        return f"its suffix differs: the folder has {found[0]}", f"write {found[0]}"
    return None


def _several(path: Path) -> tuple[str, str]:
    return "it is several paths in one cell", "list each path in its own row"


def _parts_are_paths(path: Path) -> bool:
    """Return whether each part between commas has the suffix of a file."""
    return all(re.search(r"\.\w{2,4}\s*$", part) for part in _BETWEEN_PATHS.split(str(path)))


def _close(missing: str, names: frozenset[str]) -> str:
    from difflib import get_close_matches

    if len(names) > _CLOSE_AMONG:
        return ""
    found = get_close_matches(missing, sorted(names), n=1, cutoff=0.8)
    return found[0] if found else ""


def _names(folder: Path) -> frozenset[str] | None:
    """Return the names in a folder; None where it may not be read."""
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(16)
def _listed(folder: Path, changed: int) -> frozenset[str]:
    """Return the names in a folder, read once while it does not change: many files may be missing from it."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) == _LISTED:
                break
    return frozenset(names)
