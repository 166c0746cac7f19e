"""Where things lie when no path is given: the folder `.dmlcli`, found by walking up from here as git finds its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import processes, progress
from dmlcli.errors import CannotRun, EmbeddingsError

if TYPE_CHECKING:
    from dmlcli.embeddings import Embeddings

NAME = ".dmlcli"
VARIABLE = "DMLCLI_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """The places inside a workspace; none of them need exist."""

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
    def runs(self) -> Path:
        """The training runs, each in a folder of its own."""
        return self.folder / "runs"

    def features(self, fingerprint: str, view: str) -> Path:
        """Cached features of one view through one frozen backbone."""
        return self.folder / "features" / f"{fingerprint}-{view}"

    @property
    def maps(self) -> Path:
        """Maps at the cut of one frozen backbone, from which its last stage is trained."""
        return self.folder / "maps"

    def known(self, *others: Path) -> "Sequence[Embeddings]":
        """What has been embedded before, for reuse; what is missing or damaged is simply computed again."""
        from dmlcli.embeddings import open_embeddings

        found = []
        for path in (*others, self.embeddings, self.evaluated / "gallery", self.evaluated / "queries"):
            try:
                found.append(open_embeddings(path))
            except EmbeddingsError:
                continue
        return found


def find(named: Path | None = None) -> Workspace | None:
    """The workspace that is named, or that of the environment, or the nearest one above; None where there is none."""
    chosen = _chosen(named)
    if chosen is not None:
        return Workspace(chosen) if chosen.is_dir() else None
    here = Path.cwd()
    device = here.stat().st_dev
    for folder in (here, *here.parents):
        if folder.stat().st_dev != device:
            return None
        if (folder / NAME).is_dir():
            return Workspace(folder / NAME)
    return None


def need(named: Path | None = None) -> Workspace:
    """Like `find`; raises CannotRun where there is none."""
    workspace = find(named)
    if workspace is None:
        where = f"in {named}" if named else f"here or above ({Path.cwd()})"
        raise CannotRun(
            f"there is no workspace {where}", hint="dmlcli index CATALOG, or dmlcli train CATALOG, makes one"
        )
    return workspace


def make(named: Path | None = None) -> Workspace:
    """Like `find`, but a missing workspace is made (here, where none is named), and said so."""
    if processes.rank() > 0:
        processes.wait_until(lambda: find(named) is not None)  # the one that leads makes it
    workspace = find(named)
    if workspace is None:
        chosen = _chosen(named) or Path.cwd() / NAME
        try:
            chosen.mkdir(parents=True)
        except OSError as error:
            raise CannotRun(
                f"cannot make the workspace {chosen}: {error.strerror}", hint="-w DIR names another place"
            ) from error
        progress.note(f"made the workspace {chosen}")
        workspace = Workspace(chosen)
    return workspace


def _chosen(named: Path | None) -> Path | None:
    where = named or os.environ.get(VARIABLE)
    return Path(where) if where else None
