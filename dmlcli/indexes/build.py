"""Writing an index: anew, or as an update of the one that is there. Whole or not at all, never in a reader's way."""

from pathlib import Path

import numpy as np

from dmlcli import disk
from dmlcli.embeddings import Embeddings
from dmlcli.errors import IndexFileError
from dmlcli.indexes import items, kinds
from dmlcli.indexes.opened import FILES, ITEMS, RECORD, SCHEMA, VECTORS, Index, open_index


def build(folder: Path, embeddings: Embeddings, model_folder: Path | None) -> Index:
    """Write an exact index of the embeddings, replacing what was there, and open it."""
    if not embeddings.items:
        raise IndexFileError("there is nothing to index: no image could be embedded")
    ids = np.arange(len(embeddings.items), dtype=np.int64)
    near = kinds.create(kinds.EXACT, embeddings.dim)
    kinds.fill(near, embeddings.vectors, ids)
    with disk.new_folder(folder, FILES) as draft:
        kinds.write(near, draft / VECTORS)
        items.write(draft / ITEMS, embeddings, ids)
        disk.write_json(
            draft / RECORD,
            {
                "schema": SCHEMA,
                "kind": kinds.EXACT,
                "images": len(ids),
                "products": len(set(embeddings.products) - {""}),
                "dim": embeddings.dim,
                "root": disk.reference(embeddings.root, folder),
                "model": embeddings.model,
                "model_folder": disk.reference(model_folder, folder) if model_folder else None,
                "views": "",
                "settings": {},
                "rows": False,
                "dead": [],
            },
        )
    return open_index(folder)
