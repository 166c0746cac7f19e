"""Embeddings: a matrix (N, D) of unit vectors, and a table with the item of each row.

embeddings      the class Embeddings
compute         computation of embeddings; known ones are not computed again
missing_images  images that the catalog no longer contains: checked before removal, and kept for a while
store           the folder on disk, and the shards of an unfinished one
formats         formats of other tools: npz, npy, parquet, JSON Lines, clip-retrieval's folder
"""

from dmlcli.embeddings import missing_images
from dmlcli.embeddings.compute import BATCH, Computed, compute
from dmlcli.embeddings.embeddings import Embeddings, FileState
from dmlcli.embeddings.formats import (
    CLIP_RETRIEVAL,
    SUFFIXES,
    is_embeddings,
    open_embeddings,
    save_clip_retrieval,
    save_file,
    save_npz,
)
from dmlcli.embeddings.missing_images import gone_folder, retire
from dmlcli.embeddings.store import (
    FILES,
    box_cell,
    box_of,
    clear_shards,
    is_done,
    mark_done,
    open_shards,
    save,
    save_shard,
)
from dmlcli.types import Forward, Vectors, View

__all__ = [
    "BATCH",
    "CLIP_RETRIEVAL",
    "FILES",
    "SUFFIXES",
    "Computed",
    "Embeddings",
    "FileState",
    "Forward",
    "Vectors",
    "View",
    "box_cell",
    "box_of",
    "clear_shards",
    "compute",
    "gone_folder",
    "is_done",
    "is_embeddings",
    "mark_done",
    "missing_images",
    "open_embeddings",
    "open_shards",
    "retire",
    "save",
    "save_clip_retrieval",
    "save_file",
    "save_npz",
    "save_shard",
]
