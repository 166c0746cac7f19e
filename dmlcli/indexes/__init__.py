"""The index: a folder with a FAISS file, the item table in SQLite, and index.json. Only in here is faiss imported.

gallery      the one interface to what is searched in, a folder or a collection on a cluster
item_table   what each id shows, in SQLite
filters      --where over the item table, by words (filter_tokens) and by what is compared (filter_kinds)
searcher     FAISS: which ids are near, exactly or nearly
flat         a small exact one without FAISS, for a query or two
record       what an index says of itself: index.json
index        an index folder opened for reading: search, vectors
faiss_kinds  what FAISS offers, by its factory strings
graphs       its graphs, with every row within reach
build        write a new index, or update one
auto_kind    which kind of index suits these vectors, measured on themselves
milvus       the same as a collection on a Milvus server
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmlcli.indexes.auto_kind import AUTO_FROM, TARGET, IndexRequirements
    from dmlcli.indexes.build import Updated, build, check_removal, update
    from dmlcli.indexes.gallery import Found
    from dmlcli.indexes.index import FILES, Index, open_gallery, open_index

__all__ = [
    "AUTO_FROM",
    "FILES",
    "TARGET",
    "Found",
    "Index",
    "IndexRequirements",
    "Updated",
    "build",
    "check_removal",
    "open_gallery",
    "open_index",
    "update",
]
_MODULES = {
    "build": ("Updated", "build", "check_removal", "update"),
    "auto_kind": ("AUTO_FROM", "TARGET", "IndexRequirements"),
    "gallery": ("Found",),
    "index": ("FILES", "Index", "open_gallery", "open_index"),
}


def __getattr__(name: str) -> Any:
    """Import a module when a name of it is first used: a query needs none of those that write."""
    for module, names in _MODULES.items():
        if name in names:
            opened = import_module(f"{__name__}.{module}")
            globals().update(
                {each: getattr(opened, each) for each in names}
            )  # `build` is a module, and a function in it
            return globals()[name]
    raise AttributeError(f"module {__name__} has no attribute {name}")
