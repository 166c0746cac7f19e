"""Folders of products: which files below a folder are images, and what their folders say of them.

A file with the suffix of an image is taken at its word (whoever decodes it will say if it is none), so a folder of a
million images is read without opening one; other files are known by their first bytes.
"""

import os
import stat
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from dmlcli import progress
from dmlcli.catalog.items import OPEN_TO_TRAINING, Catalog, Item
from dmlcli.errors import CatalogError
from dmlcli.image import SNIFF_LENGTH, SUFFIXES, UNREAD_SUFFIXES, is_image
from dmlcli.report.skipped import Skipped

_SPLIT_FOLDERS = {"train", "val", "valid", "validation", "test", "query", "gallery"}


class Folder(NamedTuple):
    """One folder below a root: its path relative to it ("" for itself), its images, and what is only called so."""

    path: str
    images: list[str]  # names
    strange: list[tuple[str, str]]  # names with the reason why they are none


def read_folder(root: Path, for_training: bool = False) -> Catalog:
    """Read `root/<product>/*` at any depth: the product is the last folder, the category the ones above.

    Where all of the first folders are called like splits, they are: train/<product>/*, test/<product>/*.
    """
    splits = _split_folders(root)
    sealed = [name for name in splits if name.lower() not in OPEN_TO_TRAINING] if for_training else []
    items: list[Item] = []
    skipped: list[Skipped] = []
    for folder in walk(root, skipped, leave_out=sealed):
        above = folder.path.split("/") if folder.path else []
        split = above.pop(0).lower() if splits and above else ""
        product = above.pop() if above else ""
        category = "/".join(above)
        prefix = f"{folder.path}/" if folder.path else ""
        items += [Item(prefix + name, product, category, split) for name in folder.images]
        skipped += [Skipped(f"{root}/{prefix}{name}", reason) for name, reason in folder.strange]
    _warn_of_homonyms(items)
    return Catalog(root.resolve(), items, skipped)


def find_images(path: Path) -> Iterator[Path]:
    """A file as it is; of a folder the images inside, and what is only called so, for its reader to complain of."""
    if not path.is_dir():
        yield path
        return
    unread: list[Skipped] = []
    for folder in walk(path, unread):
        yield from (path / folder.path / name for name in [*folder.images, *(name for name, _ in folder.strange)])
    yield from (Path(skipped.path) for skipped in unread)


def sub_folders(root: Path) -> list[str]:
    """The names of the folders right below a root, sorted, without hidden ones."""
    try:
        with os.scandir(root) as found:
            return sorted(entry.name for entry in found if entry.name[0] != "." and _kind(entry) == "folder")
    except OSError as error:
        raise CatalogError(f"the folder {root} cannot be read: {error.strerror}") from error


def walk(root: Path, skipped: list[Skipped], leave_out: Collection[str] = ()) -> Iterator[Folder]:
    """The folders below a root in a fixed order, each once; hidden ones are left out, and so are hidden files.

    Links are followed after all else, so that a folder goes by its own name; one that leads to a folder read already,
    and so perhaps in a circle, is left out, and said so.

    Args:
        skipped: takes the folders that may not be read.
        leave_out: folders right below the root that are not even listed.
    """
    seen: set[tuple[int, int]] = set()
    again: list[str] = []
    unread: list[str] = []
    stack, links = [""], deque[str]()
    while stack or links:
        here = stack.pop() if stack else links.popleft()
        full = f"{root}/{here}" if here else str(root)
        try:
            status = Path(full).stat()
            if (status.st_dev, status.st_ino) in seen:
                again.append(here)
                continue
            seen.add((status.st_dev, status.st_ino))
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
            if name[0] == ".":
                continue
            called_image, kind = _called_image(name), _kind(entries[name])
            if kind == "file":
                if called_image or _sniff(f"{full}/{name}"):
                    images.append(name)
                elif _suffix(name) in UNREAD_SUFFIXES:
                    unread.append(f"{here}/{name}".lstrip("/"))
            elif kind == "folder":
                if here or name not in leave_out:
                    (linked_folders if entries[name].is_symlink() else folders).append(f"{here}/{name}".lstrip("/"))
            elif called_image:
                strange.append((name, kind))
        if images or strange:
            yield Folder(here, images, strange)
        stack += reversed(folders)
        links += linked_folders
    if again:
        named = ", ".join(again[:3]) + (", …" if len(again) > 3 else "")
        links_are = "1 link leads to a folder" if len(again) == 1 else f"{len(again)} links lead to folders"
        progress.warn(f"{links_are} read already, left out: {named}")
    if unread:
        named = ", ".join(unread[:3]) + (", …" if len(unread) > 3 else "")
        images_are = "1 image is in a format" if len(unread) == 1 else f"{len(unread)} images are in formats"
        progress.warn(f"{images_are} that dmlcli cannot decode, left out: {named}")


def _kind(entry: "os.DirEntry[str]") -> str:
    """file, folder, or what is wrong with it."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
    except OSError:
        return "a link that leads to itself"
    return "a link that leads nowhere" if entry.is_symlink() else "not a regular file"


def _called_image(name: str) -> bool:
    return _suffix(name) in SUFFIXES


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _sniff(file: str) -> bool:
    """Whether a file begins like an image; one that may not be read does, for its reader to complain of."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return stat.S_ISREG(os.fstat(handle).st_mode) and is_image(os.read(handle, SNIFF_LENGTH))
        finally:
            os.close(handle)
    except OSError:
        return True


def _split_folders(root: Path) -> list[str]:
    """The folders right below the root where all of them are splits, else none.

    A first one that holds images itself is a product, and so are the others.
    """
    top = sub_folders(root)
    if not top or not all(name.lower() in _SPLIT_FOLDERS for name in top):
        return []
    first = min(top, key=lambda name: (name.lower() not in OPEN_TO_TRAINING, name))
    return [] if any(_called_image(file.name) for file in (root / first).iterdir()) else top


def _warn_of_homonyms(items: list[Item]) -> None:
    categories = defaultdict(set)
    for item in items:
        categories[item.product].add(item.category)
    for product, found in sorted(categories.items()):
        if product and len(found) > 1:
            named = ", ".join(sorted(found))
            progress.warn(f"product '{product}' lies in {len(found)} categories ({named}): taken as one")
