"""Folders of products: image files, and the products, categories and splits of their folders.

A file with an image suffix is listed without opening it, so that a folder of a million images is listed quickly; its
decoder reports an error if it is not an image. Other files are recognized by their first bytes.
"""

import os
import stat
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from dmlcli import progress
from dmlcli.catalog.catalog import OPEN_TO_TRAINING, VALIDATION_SPLITS, Catalog, Item, split_name
from dmlcli.catalog.file_names import is_called_image, is_hidden, is_system_file, is_system_folder, suffix_of
from dmlcli.errors import CatalogError
from dmlcli.image import SNIFF_LENGTH, UNREAD_SUFFIXES, is_image
from dmlcli.report.skipped import Skipped

_SPLIT_FOLDERS = ("train", "test", *VALIDATION_SPLITS, "query", "gallery")
_DEEPEST_SPLITS = 3  # folders that may be above the splits


class Folder(NamedTuple):
    """A folder below a root: its path relative to it, its images, and files that are only named like images."""

    path: str
    images: list[str]  # names
    strange: list[tuple[str, str]]  # names with the reason why they are none


class _Layout(NamedTuple):
    """Where the products of a catalog are, and which of the folders there are splits."""

    prefix: str  # of the folder that the splits are in, with its slash; "" for the root
    splits: frozenset[str]  # names of folders
    others: frozenset[str]  # folders beside the splits that have images


def read_folder(root: Path, for_training: bool = False) -> Catalog:
    """Read `root/<product>/*` at any depth: the product is the last folder, the category the ones above.

    Folders called train, test, … are splits: train/<product>/*, test/<product>/*.
    """
    layout = _layout(root)
    sealed: list[str] = []
    if for_training and layout.splits:
        closed = {name for name in layout.splits if split_name(name) not in OPEN_TO_TRAINING}
        sealed = [layout.prefix + name for name in sorted(closed | layout.others)]
    items: list[Item] = []
    skipped: list[Skipped] = []
    for folder in walk(root, skipped, leave_out=sealed):
        prefix = f"{folder.path}/" if folder.path else ""
        skipped += [Skipped(f"{root}/{prefix}{name}", reason) for name, reason in folder.strange]
        below = prefix.removeprefix(layout.prefix)
        above = below.split("/")[:-1]
        split = split_name(above.pop(0)) if above and above[0] in layout.splits else ""
        product = above.pop() if above else ""
        category = "/".join(above)
        items += [Item(prefix + name, product, category, split) for name in folder.images]
    _warn_of_homonyms(items)
    return Catalog(root.resolve(), items, skipped)


def find_images(path: Path) -> Iterator[Path]:
    """Yield a file itself; of a folder, the images and the files that are only named like images."""
    if not path.is_dir():
        yield path
        return
    unread: list[Skipped] = []
    for folder in walk(path, unread):
        yield from (path / folder.path / name for name in [*folder.images, *(name for name, _ in folder.strange)])
    yield from (Path(skipped.path) for skipped in unread)


def sub_folders(root: Path) -> list[str]:
    """Return the names of the folders right below a root, sorted, without hidden ones and the system's."""
    try:
        with os.scandir(root) as found:
            names = sorted(entry.name for entry in found if not is_hidden(entry.name) and _kind(entry) == "folder")
            return [name for name in names if not is_system_folder(name)]
    except OSError as error:
        raise CatalogError(f"the folder {root} cannot be read: {error.strerror}") from error


def walk(root: Path, skipped: list[Skipped], leave_out: Collection[str] = ()) -> Iterator[Folder]:
    """Yield the folders below a root in a fixed order, each once, without hidden files and folders and system files.

    Links are followed after everything else, so that a folder has its own name. A link to a folder that was already
    read, possibly in a circle, is skipped with a warning.

    Args:
        root: the folder to list.
        skipped: receives the folders that cannot be read.
        leave_out: folders, relative to the root, that are not listed.
    """
    visited: set[tuple[int, int]] = set()
    again: list[str] = []
    unread: list[str] = []
    system: list[str] = []
    stack, links = [""], deque[str]()
    while stack or links:
        here = stack.pop() if stack else links.popleft()
        full = f"{root}/{here}" if here else str(root)
        try:
            status = Path(full).stat()
            if (status.st_dev, status.st_ino) in visited:
                again.append(here)
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(full) as found:
                entries = {entry.name: entry for entry in found}
        except OSError as error:
            if not here:
                raise CatalogError(f"the folder {root} cannot be read: {error.strerror}") from error
            skipped.append(Skipped(full, f"the folder cannot be read: {error.strerror}"))
            continue
        folders: list[str] = []
        linked_folders: list[str] = []
        images: list[str] = []
        strange: list[tuple[str, str]] = []
        for name in sorted(entries):
            if is_hidden(name) or is_system_file(name):
                continue
            called_image, kind = is_called_image(name), _kind(entries[name])
            if kind == "file":
                if called_image or _sniff(f"{full}/{name}"):
                    images.append(name)
                elif suffix_of(name) in UNREAD_SUFFIXES:
                    unread.append(f"{here}/{name}".lstrip("/"))
            elif kind == "folder":
                path = f"{here}/{name}".lstrip("/")
                if is_system_folder(name):
                    system.append(path)
                elif path not in leave_out:
                    (linked_folders if entries[name].is_symlink() else folders).append(path)
            elif called_image:
                strange.append((name, kind))
        if images or strange:
            yield Folder(here, images, strange)
        stack += reversed(folders)
        links += linked_folders
    if again:
        named = ", ".join(again[:3]) + (", …" if len(again) > 3 else "")
        links_are = "1 link to a folder that was" if len(again) == 1 else f"{len(again)} links to folders that were"
        progress.warn(f"skipped {links_are} already read: {named}")
    if unread:
        named = ", ".join(unread[:3]) + (", …" if len(unread) > 3 else "")
        images_are = "1 image" if len(unread) == 1 else f"{len(unread)} images"
        progress.warn(f"skipped {images_are} in unsupported formats: {named}")
    if system:
        _note_system(root, system)


def _kind(entry: "os.DirEntry[str]") -> str:
    """Return file, folder, or the reason why it is neither."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
    except OSError:
        return "a circular link"
    return "a broken link" if entry.is_symlink() else "not a regular file"


def _note_system(root: Path, folders: list[str]) -> None:
    """Note which system folders were skipped."""
    counts = Counter(path.rpartition("/")[2] for path in folders)
    named = ", ".join(name if count == 1 else f"{name} ({count})" for name, count in sorted(counts.items()))
    progress.note(f"skipped system files in {root}: {named}")


def _sniff(file: str) -> bool:
    """Return whether a file begins like an image; True if it cannot be read, so that its reader reports it."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return stat.S_ISREG(os.fstat(handle).st_mode) and is_image(os.read(handle, SNIFF_LENGTH))
        finally:
            os.close(handle)
    except OSError:
        return True


def _layout(root: Path) -> _Layout:
    """Return which folders are splits: where all are called so, or train beside another split.

    The splits may be one folder below the root, as archives unpack. A split that has images itself is a product, and
    then so are the others. Other folders beside splits belong to none, which is warned of where they have images.
    """
    prefix = ""
    names = sub_folders(root)
    while len(names) == 1 and split_name(names[0]) not in _SPLIT_FOLDERS:
        if _has_images(root / prefix):
            return _Layout("", frozenset(), frozenset())
        prefix += f"{names[0]}/"
        try:
            names = sub_folders(root / prefix)
        except CatalogError:  # reported when it is walked
            return _Layout("", frozenset(), frozenset())
        if prefix.count("/") > _DEEPEST_SPLITS:
            return _Layout("", frozenset(), frozenset())
    splits = [name for name in names if split_name(name) in _SPLIT_FOLDERS]
    found = {split_name(name) for name in splits}
    pair = ("train" in found and len(found) > 1) or {"query", "gallery"} <= found
    if not splits or not (pair or len(splits) == len(names)):
        return _Layout("", frozenset(), frozenset())
    first = min(splits, key=lambda name: (split_name(name) not in OPEN_TO_TRAINING, name))
    if _has_images(root / prefix / first):
        return _Layout("", frozenset(), frozenset())
    others = frozenset(name for name in names if name not in splits and _has_images(root / prefix / name, deep=True))
    if others:
        progress.warn(
            f"{', '.join(sorted(others))} next to {', '.join(splits)} in {root / prefix} belongs to no split and "
            "is not used for training"
        )
    return _Layout(prefix, frozenset(splits), others)


def _has_images(folder: Path, deep: bool = False) -> bool:
    """Return whether a folder, or with `deep` a folder below it, has files with image suffixes."""
    for _, folders, files in os.walk(folder):
        if any(is_called_image(name) and not is_hidden(name) for name in files):
            return True
        if not deep:
            return False
        folders[:] = [name for name in folders if not is_hidden(name) and not is_system_folder(name)]
    return False


def _warn_of_homonyms(items: list[Item]) -> None:
    categories = defaultdict(set)
    for item in items:
        categories[item.product].add(item.category)
    for product, found in sorted(categories.items()):
        if product and len(found) > 1:
            named = ", ".join(sorted(found))
            progress.warn(f"product '{product}' is in {len(found)} categories ({named}); it is treated as one product")
