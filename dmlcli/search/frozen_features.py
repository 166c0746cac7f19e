"""Features of the frozen backbone for the images of an index, from the cache that training keeps in the workspace."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmlcli.errors import CannotRun, EmbeddingsError
from dmlcli.indexes import Index
from dmlcli.indexes.item_table import ids_by_content
from dmlcli.search.item_lookup import Items
from dmlcli.types import Ids

HINT = "dmlcli index CATALOG --backbone fast -o frozen && dmlcli duplicates --index frozen"


def of_index(index: Index, cache: Path) -> Callable[[Ids], NDArray[np.float32]]:
    """Return a function from ids of an index to the unit features (n, F) of their images.

    Args:
        index: its images may have been embedded by any model.
        cache: the embeddings folder of the features.

    Raises:
        CannotRun: there are no features, or not those of every image of the index.
    """
    from dmlcli.embeddings import open_embeddings

    try:
        features = open_embeddings(cache)
    except EmbeddingsError as error:
        raise CannotRun(f"no cached features of the frozen backbone: {error}", hint=HINT) from error
    rows = defaultdict(list)
    for row, (item, state) in enumerate(zip(features.items, features.states, strict=True)):
        rows[str(features.root / item.path), state.digest].append(row)
    items, found = Items(index), dict[int, int]()
    for (path, mark), ids in ids_by_content(index.table).items():
        there = rows.get((str(index.root / path), mark), [])
        for number in ids:
            fitting = there
            if len(there) > 1:  # parts of one file
                box = items.details([number])[0].box
                fitting = [row for row in there if features.items[row].box == box]
            if fitting:
                found[number] = fitting[0]
    if lacking := index.images - len(found):
        raise CannotRun(f"{lacking} of {index.images} images have no cached features of the frozen backbone", hint=HINT)
    return lambda ids: np.asarray(features.vectors[[found[number] for number in ids.tolist()]], dtype=np.float32)
