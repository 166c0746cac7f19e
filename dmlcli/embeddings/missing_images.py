"""Images of an index or embeddings folder that the catalog no longer contains: deleted or unreachable.

A disk that is not mounted looks like a folder whose photos were deleted. Where much is gone at once, nothing is removed
until the user says that it is meant (`--prune`). The vectors of what was removed are kept beside the embeddings, so
that photos which come back need not be embedded again; those kept earlier are removed when the index is rebuilt.
"""

import shutil
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from dmlcli.embeddings import store
from dmlcli.embeddings.embeddings import Embeddings
from dmlcli.errors import CannotRun

SHARE = 0.2  # of the images; when more are gone, the user is asked
_FOLDER = 2  # images of a folder that must all be gone for the folder to count as gone
_NAMED = 3  # folders that an error names
Image = tuple[str, str]  # path, and a mark of the content


def check(before: Collection[Image], now: Iterable[Image], what: str) -> None:
    """Raise CannotRun if more than a fifth of the images, or whole folders, are gone.

    An image whose content turns up under another path was moved and is not gone.

    Args:
        before: the images that are held.
        now: those that are to take their place.
        what: names the holder in the error, as "the index in DIR".

    Raises:
        CannotRun: with how many are gone and from which folders.
    """
    paths, marks = set(), set()
    for path, mark in now:
        paths.add(path)
        marks.add(mark)
    gone = [path for path, mark in before if path not in paths and mark not in marks]
    if not gone:
        return
    folders = _whole_folders([path for path, _ in before], gone)
    if len(gone) <= SHARE * len(before) and not folders:
        return
    named = [f"all {count} of {folder}" for folder, count in folders[:_NAMED]]
    if len(folders) > _NAMED:
        named.append(f"{len(folders) - _NAMED} more folders")
    raise CannotRun(
        f"{len(gone)} of the {len(before)} images of {what} are no longer in the catalog: "
        f"{', '.join(named) or ', '.join(gone[:_NAMED])}; nothing was changed",
        hint="restore them (check that all disks are mounted), or use --prune to remove them",
    )


def _whole_folders(before: Iterable[str], gone: Iterable[str]) -> list[tuple[str, int]]:
    """Return the topmost folders whose images are all gone, with how many those are."""
    held, lost = _by_folder(before), _by_folder(gone)
    whole = {folder for folder, count in lost.items() if count == held[folder] >= _FOLDER}
    top = [folder for folder in whole if not any(above in whole for above in _above(folder)[1:])]
    return sorted((folder, lost[folder]) for folder in top)


def _by_folder(paths: Iterable[str]) -> Counter[str]:
    """Return how many images there are in each folder and those below it."""
    direct = Counter(path.rpartition("/")[0] for path in paths)
    counts: Counter[str] = Counter()
    for folder, count in direct.items():
        for above in _above(folder):
            counts[above] += count
    return counts


def _above(folder: str) -> list[str]:
    """Return a folder and those above it, below the root."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:length]) or "/" for length in range(len(parts), 0, -1)]


def gone_folder(folder: Path) -> Path:
    """Return where the vectors of what was removed from an embeddings folder are kept."""
    return folder.with_name(f".{folder.name}.gone")


def retire(folder: Path, new: Embeddings, *, earlier: bool) -> None:
    """Keep the rows of an embeddings folder that `new`, which is to replace it, does not have.

    Args:
        folder: the embeddings as they are.
        new: what will replace them.
        earlier: whether what was kept before stays, too; not if everything is rebuilt.
    """
    aside = gone_folder(folder)
    held = [found for path in [folder, *([aside] if earlier else [])] if (found := _opened(path, new)) is not None]
    held_digests = {state.digest for state in new.states} | {""}
    parts = []
    for found in held:
        rows = []
        for row, state in enumerate(found.states):
            if state.digest not in held_digests:
                held_digests.add(state.digest)
                rows.append(row)
        parts.append(found.take(rows))
    kept = [part for part in parts if part.items]
    if not kept:
        shutil.rmtree(aside, ignore_errors=True)
        return
    joined = Embeddings(
        new.root,
        [item for part in kept for item in part.items],
        [state for part in kept for state in part.states],
        np.concatenate([part.vectors for part in kept]),
        new.model,
        new.views,
    )
    store.save(aside, joined)


def _opened(folder: Path, new: Embeddings) -> Embeddings | None:
    """Return the embeddings in a folder where they are of the same catalog, model and views; else None."""
    try:
        found = store.open_folder(folder)
    except store.DAMAGE:
        return None
    same = (found.root, found.model, found.views, found.dim) == (new.root, new.model, new.views, new.dim)
    return found if same else None
