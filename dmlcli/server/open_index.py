"""An index that stays open while the server runs, and is opened again when its files change."""

import hashlib
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from dmlcli import progress
from dmlcli.encoder import Encoder
from dmlcli.errors import DmlcliError
from dmlcli.model import Model
from dmlcli.search_session import SearchSession, open_session
from dmlcli.server.agreement import LazyExplainer
from dmlcli.server.photo_encoder import PhotoEncoder

_LOOK_EVERY = 0.5  # seconds between two looks at whether an index has changed
_VERSION = 8  # characters


class Opened(NamedTuple):
    """One state of an index; requests that began with it finish with it."""

    session: SearchSession
    model: Model | None  # None: the index names none, and photos cannot be searched with
    encoder: PhotoEncoder | None
    version: str  # changes whenever the index does
    matches: LazyExplainer


class OpenIndex:
    """An index by its name."""

    def __init__(self, name: str, place: Path | str, device: str = "cpu", provider: str | None = None) -> None:
        """Open the index.

        Args:
            name: what clients call it; "": as the folder of its catalog.
            place: the index folder, or the address of a collection.
            device: for embedding.
            provider: for embedding.

        Raises:
            CannotRun: the index or its model cannot be opened.
        """
        self._place, self._device, self._provider = place, device, provider
        self._opened = self._open(None)
        self.name = name or self._opened.session.gallery.root.name or "index"

    @property
    def opened(self) -> Opened:
        """Its current state."""
        return self._opened

    def refresh(self) -> bool:
        """Open the index again if it has changed, and return whether it has; the old state serves until then.

        Raises:
            DmlcliError: the index that is there now cannot be opened; the old state stays.
        """
        before = self._opened
        if not before.session.gallery.has_changed():
            return False
        self._opened = self._open(before)
        return True

    def _open(self, before: Opened | None) -> Opened:
        session = open_session(self._place)
        model = session.model() if session.gallery.model else None
        version = hashlib.sha256(session.gallery.stamp).hexdigest()[:_VERSION]
        return Opened(session, model, self._encoder(model, before), version, LazyExplainer(model))

    def _encoder(self, model: Model | None, before: Opened | None) -> PhotoEncoder | None:
        """Return the encoder of a model: the one that is running, if the model is the same."""
        if model is None:
            return None
        known = before.model.record.fingerprint if before is not None and before.model is not None else None
        if before is not None and known == model.record.fingerprint:
            return before.encoder
        return PhotoEncoder(Encoder(model, device=self._device, provider=self._provider))


class IndexWatcher:
    """Looks in the background whether indexes have changed, and opens those that have."""

    def __init__(self, indexes: "list[OpenIndex]") -> None:
        self._indexes, self._stopped = indexes, Event()
        self._thread = Thread(target=self._run, name="watch indexes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY):
            for index in self._indexes:
                try:
                    if index.refresh():
                        progress.note(f"index {index.name}: opened again, {index.opened.session.gallery.images} images")
                except (DmlcliError, OSError) as error:
                    progress.warn(f"index {index.name} cannot be opened again, the old one is searched: {error}")
