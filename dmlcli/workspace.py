"""The workspace `.dmlcli`: the default place for all artifacts, found in the current folder or above it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import dist_env, ownership, progress, storage
from dmlcli.arguments import expand_home
from dmlcli.errors import CannotRun, EmbeddingsError

if TYPE_CHECKING:
    from dmlcli.embeddings import Embeddings

NAME = ".dmlcli"
VARIABLE = "DMLCLI_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """The paths inside a workspace; none of them need exist."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def models(self) -> Path:
        """Trained models by fingerprint: the current one, and the last that it replaced."""
        return self.folder / "models"

    @property
    def embeddings(self) -> Path:
        return self.folder / "embeddings"

    @property
    def embedded(self) -> Path:
        """Embeddings of the catalog by models that were replaced, by fingerprint."""
        return self.folder / "embedded"

    @property
    def objects(self) -> Path:
        """Embeddings of whole photos and of the objects in them, from which --crop auto chooses."""
        return self.folder / "objects"

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def evaluated(self) -> Path:
        """Embeddings that eval made, kept so that the next eval need not make them again."""
        return self.folder / "evaluated"

    @property
    def frozen(self) -> Path:
        """The pretrained backbone as a model of its own."""
        return self.folder / "frozen"

    @property
    def compared(self) -> Path:
        """The backbone that a comparison is at, as a model of its own; it is removed afterwards."""
        return self.folder / "compared"

    @property
    def runs(self) -> Path:
        """The training runs, each in a folder of its own."""
        return self.folder / "runs"

    @property
    def sweeps(self) -> Path:
        """The searches for a better recipe, each in a folder of its own."""
        return self.folder / "sweeps"

    def features(self, fingerprint: str, view: str) -> Path:
        """Return the path of the cached features of one view and one frozen backbone."""
        return self.folder / "features" / f"{fingerprint}-{view}"

    @property
    def maps(self) -> Path:
        """Maps at the cut of one frozen backbone, from which its last stage is trained."""
        return self.folder / "maps"

    @property
    def is_writable(self) -> bool:
        """Whether something can be kept in it."""
        return os.access(self.folder, os.W_OK | os.X_OK)

    def known(self, *others: Path) -> "Sequence[Embeddings]":
        """Return what has been embedded before, for reuse; what is missing or damaged is simply computed again."""
        from dmlcli.embeddings import gone_folder, open_embeddings

        found = []
        kept = (*others, self.embeddings)
        for path in (*kept, *map(gone_folder, kept), self.evaluated / "gallery", self.evaluated / "queries"):
            try:
                found.append(open_embeddings(path))
            except EmbeddingsError:
                continue
        return found


def find(named: Path | None = None) -> Workspace | None:
    """Return the workspace that is named, or that of the environment, or the nearest one above; None without one.

    Raises:
        CannotRun: the one above belongs to another user, or the current folder was deleted.
    """
    chosen = _chosen(named)
    if chosen is not None:
        return Workspace(chosen) if chosen.is_dir() else None
    here = _here()
    device = here.stat().st_dev
    for folder in (here, *here.parents):
        try:
            if folder.stat().st_dev != device:
                return None
            is_there = (folder / NAME).is_dir()
        except PermissionError:  # a folder above cannot be searched
            return None
        if is_there:
            ownership.check_owner(folder / NAME, "model and index", "-w")
            return Workspace(folder / NAME)
    return None


def need(named: Path | None = None) -> Workspace:
    """Return the workspace like `find`, but raise CannotRun if there is none."""
    workspace = find(named)
    if workspace is None:
        where = f"in {_described(named)}" if _chosen(named) else f"in this folder or above it ({_here()})"
        raise CannotRun(
            f"no workspace found {where}", hint="create one with dmlcli index CATALOG or dmlcli train CATALOG"
        )
    return workspace


def make(named: Path | None = None, *, needed: bool = True) -> Workspace:
    """Return the workspace like `find`, but create a missing one (in the current folder by default), with a note.

    Args:
        named: its folder.
        needed: False where nothing has to be kept in it: a workspace that cannot be made is then returned all the same.

    Raises:
        CannotRun: it is needed and cannot be made.
    """
    if dist_env.rank() > 0:
        dist_env.wait_until(lambda: find(named) is not None)  # the one that leads makes it
    workspace = find(named)
    if workspace is None:
        chosen = _chosen(named) or _here() / NAME
        workspace = Workspace(chosen)
        try:
            storage.make_folder(chosen)
        except CannotRun as error:
            if not needed:
                return workspace
            message = f"cannot create the workspace {_described(named)}: {error}"
            raise CannotRun(message, hint="use another path: -w DIR") from error
        progress.note(f"created the workspace {chosen}")
    return workspace


def _chosen(named: Path | None) -> Path | None:
    if named:
        return Path(named)
    variable = os.environ.get(VARIABLE)
    return Path(expand_home(variable)) if variable else None


def _described(named: Path | None) -> str:
    """Return the folder of a workspace, with the variable that names it, for messages."""
    chosen = _chosen(named) or _here() / NAME
    return str(chosen) if named or not os.environ.get(VARIABLE) else f"{chosen} (set by {VARIABLE})"


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        hint = "cd into another folder, or specify one with -w"
        raise CannotRun("the current folder has been deleted", hint=hint) from error
