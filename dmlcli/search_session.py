"""An opened index with its item table and its model: what `query` and `serve` search in."""

from dataclasses import dataclass, field
from pathlib import Path

from dmlcli import indexes
from dmlcli.errors import CannotRun
from dmlcli.indexes.gallery import Gallery, ItemTable, is_address
from dmlcli.model import Model, open_matching
from dmlcli.search.item_lookup import Items


@dataclass(frozen=True)
class SearchSession:
    """What one thread searches in; the item table must stay in the thread that opened it."""

    gallery: Gallery = field(repr=False)
    items: ItemTable = field(repr=False)
    named_model: Path | None = None  # by the user; None: the one that the gallery records
    workspace: Path | None = None

    def model(self) -> Model:
        """Return the model of the index: the given one, the one that the index records, or that of the workspace.

        Raises:
            CannotRun: there is none, or it is not the one that the index was made with.
        """
        gallery, folder = self.gallery, self.named_model or self.gallery.model_folder
        is_remote = is_address(gallery.place)
        if folder is None and gallery.model and is_remote:  # pushed from another machine
            from dmlcli.workspace import find

            place = find(self.workspace)
            folder = place.model if place else None
            if folder is None:
                raise CannotRun(
                    f"{gallery.place} was made by model {gallery.model}", hint="specify it with --model MODEL"
                )
        # models that were replaced are kept beside an index
        kept = None if self.named_model or is_remote else Path(gallery.place).parent / "models"
        return open_matching(folder, gallery.model, kept)

    def model_if_here(self) -> Model | None:
        """Return the model for what it says of products; None where it cannot be found, or the index names none."""
        if not self.gallery.model and self.named_model is None:
            return None
        try:
            return self.model()
        except CannotRun:
            return None


def open_session(index: Path | str | None, model: Path | None = None, workspace: Path | None = None) -> SearchSession:
    """Open what is searched in.

    Args:
        index: an index folder, or the address of a collection; None: that of the workspace.
        model: the model folder; None: the one that the index records.
        workspace: None: that of the current folder.

    Raises:
        CannotRun: the index is missing or damaged.
    """
    if index is None:
        from dmlcli.workspace import need

        index = need(workspace).index
    opened = indexes.open_gallery(index)
    return SearchSession(opened, Items(opened) if isinstance(opened, indexes.Index) else opened, model, workspace)
