"""Names of drafts and locks, symbolic links, parent folders, and fsync."""

import errno
import itertools
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from dmlcli.errors import CannotRun

OTHER_PLACE = "use a path with write permission (-w DIR, -o PATH)"
_PROCESS = os.urandom(4).hex()  # identifies this process's drafts, together with the pid
_NUMBERS = itertools.count()
_DRAFT = re.compile(r"(?P<pid>\d+)-(?P<process>[0-9a-f]+)-\d+\.tmp")
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # network and FUSE file systems that know no fsync of folders
_LONGEST = 200  # bytes of a name to which more can be added below the limit of 255 that file systems have


def beside(target: Path, ending: str) -> Path:
    """Return the hidden path `.<name><ending>` in the folder of `target`; a very long name is replaced by its hash."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST:
        import hashlib

        name = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
    return target.with_name(f".{name}{ending}")


def draft_of(target: Path, suffix: str = "") -> Path:
    """Return a path under which this process alone writes what becomes `target`."""
    return beside(target, f".{os.getpid()}-{_PROCESS}-{next(_NUMBERS)}.tmp{suffix}")


def previous_of(target: Path) -> Path:
    """Return where the folder `target` lies while another one takes its place."""
    return beside(target, ".previous")


def stale_drafts(target: Path, suffix: str = "") -> list[Path]:
    """Return the drafts of `target` whose process no longer runs."""
    import glob

    start = beside(target, ".").name
    found = []
    for draft in target.parent.glob(f"{glob.escape(start)}*.tmp{glob.escape(suffix)}"):
        name = _DRAFT.fullmatch(draft.name.removeprefix(start).removesuffix(suffix))
        if name and (name["process"] != _PROCESS if int(name["pid"]) == os.getpid() else not _lives(int(name["pid"]))):
            found.append(draft)
    return found


def followed(target: Path) -> Path:
    """Return the path that `target` leads to where it is a symbolic link, else `target` itself.

    Raises:
        CannotRun: the link leads in a circle, or to a folder that does not exist.
    """
    if not target.is_symlink():
        return target
    end = Path(os.path.realpath(target))
    if end.is_symlink():
        raise CannotRun(f"cannot write {target}: it is a circular symbolic link", hint=f"remove it: rm {target}")
    if not end.parent.is_dir():
        raise CannotRun(
            f"cannot write {target}: it is a link to {end}, and the folder {end.parent} does not exist",
            hint="mount its disk, create the folder, or remove the link",
        )
    return end


def check_parent(target: Path) -> None:
    """Raise CannotRun or OSError where nothing can be written beside `target`, nor the folders above it be made."""
    above = next(folder for folder in target.absolute().parents if folder.exists())
    if not above.is_dir():
        raise CannotRun(f"cannot write {target}: {above} is a file, not a folder", hint=OTHER_PLACE)
    if not os.access(above, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(above).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(number, os.strerror(number), str(above))


def make_parents(target: Path) -> None:
    """Make the folders above `target` that do not exist yet, and have them written to disk."""
    check_parent(target)
    missing = [folder for folder in target.absolute().parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync(made.parent)


def set_mode(path: Path, mode: int) -> None:
    """Give a file or folder its rights, where the file system has such a thing."""
    if stat.S_IMODE(path.stat().st_mode) != mode:
        with suppress(PermissionError):
            path.chmod(mode)


def sync(path: Path) -> None:
    """Have a file, or the list of a folder, written to disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # one may write in it but not list it
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's
    return True
