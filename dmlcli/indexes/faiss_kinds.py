"""What FAISS offers: indexes of any kind by their factory string; made, filled, emptied, written and read."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli import prefetch, progress, storage
from dmlcli.errors import CannotRun, UsageError
from dmlcli.indexes import graphs
from dmlcli.types import Ids, Vectors

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before FAISS comes: its threads spin while they wait for work
ROWS = "SQfp16"  # how exact rows lie beside a kind that does not keep them
_EXAMPLES = 'one is like "Flat", "HNSW32", "IVF1024,PQ32" or "SQ8"; --auto chooses by itself'
_POINTS = 50  # training vectors a cell; FAISS itself takes up to 256 and asks for 39
_TRAINING = 65_536  # training vectors of what has no cells
_BLOCK = 1 << 16  # rows that are added at once
_WRITTEN = 1 << 20  # bytes of a file that are written at once


def use_all_cores(yes: bool = True) -> None:
    """Let FAISS work with all cores, or with one: a team costs a short search more than it saves."""
    import faiss

    faiss.omp_set_num_threads(prefetch.cores() if yes else 1)


def create(factory: str, dim: int) -> Any:
    """An empty FAISS index over ids, of the kind that a factory string names; raises UsageError for a bad one."""
    import faiss

    try:
        made = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:  # its text quotes C++
        raise UsageError(f"invalid --factory '{factory}' for {dim} dimensions", hint=_EXAMPLES) from error
    if made.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise UsageError(f"'{factory}' does not search by inner product", hint=_EXAMPLES)
    return made if _keeps_ids(made) else faiss.IndexIDMap(made)


def add(index: Any, vectors: Vectors, ids: Ids, label: str = "indexing") -> None:
    """Add vectors to an index under their ids; in a graph, each is made reachable.

    Args:
        index: of FAISS.
        vectors: (N, D).
        ids: (N,).
        label: of the progress bar.
    """
    import faiss

    for start in progress.track(range(0, len(ids), _BLOCK), label):
        block = slice(start, start + _BLOCK)
        index.add_with_ids(np.ascontiguousarray(vectors[block], dtype=np.float32), ids[block])
    if isinstance(graph := core(index), faiss.IndexHNSW):
        graphs.connect(graph)


def train(index: Any, vectors: Vectors) -> None:
    """Train an index, where its kind needs it, on a sample of the vectors; equal vectors make equal cells."""
    if index.is_trained:
        return
    cells = _cells(index)
    _keep_short(index)
    if len(vectors) < 39 * cells:
        progress.warn(f"{len(vectors)} images are few for {cells} cells: some will be found late")
    number = min(len(vectors), max(_POINTS * cells, _TRAINING))
    rows = np.sort(np.random.default_rng(0).choice(len(vectors), number, replace=False))
    try:
        index.train(np.ascontiguousarray(vectors[rows], dtype=np.float32))
    except RuntimeError as error:  # its text quotes C++
        raise CannotRun(
            f"{len(vectors)} images are too few to train this kind of index", hint="Flat needs no training"
        ) from error


def _keep_short(index: Any) -> None:
    """Keep training short, and quiet: FAISS writes its warnings to stderr by itself, and ours say the same."""
    import faiss

    ivf = faiss.try_extract_index_ivf(index)
    for part in (core(index), *([downcast(ivf)] if ivf else [])):
        if hasattr(part, "do_polysemous_training"):
            part.do_polysemous_training = False  # most of the time, for a way of searching that is never used here
        pq: Any = getattr(part, "pq", None)
        means = [(each.cp, points) for each, points in ((part, 2 * _POINTS), (pq, _POINTS)) if hasattr(each, "cp")]
        for settings, points in means:
            settings.min_points_per_centroid = 1
            settings.max_points_per_centroid = points
            settings.niter = 10


def _cells(index: Any) -> int:
    import faiss

    ivf = faiss.try_extract_index_ivf(index)
    return int(ivf.nlist) if ivf is not None else 0


def tune(index: Any, settings: dict[str, int]) -> None:
    """Set what is set for searching; what does not concern this kind is passed over."""
    import faiss

    for name in ("nprobe", "efSearch"):
        if name in settings:
            faiss.ParameterSpace().set_index_parameter(index, name, settings[name])


def choices(index: Any) -> list[dict[str, int]]:
    """The settings worth trying, the quickest first; each finds at least what the one before it does."""
    import faiss

    if cells := _cells(index):
        return [{"nprobe": 1 << power} for power in range(cells.bit_length())]
    if isinstance(inner(index), faiss.IndexHNSW):
        return [{"efSearch": 1 << power} for power in range(4, 12)]
    return [{}]


def keeps_rows(index: Any) -> bool:
    """Whether an index gives back each row as it was put in."""
    import faiss

    within = inner(index)
    storage = downcast(within.storage) if isinstance(within, faiss.IndexHNSW) else within
    if isinstance(storage, faiss.IndexScalarQuantizer):
        return storage.sq.qtype == faiss.ScalarQuantizer.QT_fp16  # type: ignore[no-any-return]
    return type(storage) in (faiss.IndexFlat, faiss.IndexFlatIP)


def scores_exactly(index: Any) -> bool:
    """Whether the scores of an index are those of the rows as they were put in."""
    import faiss

    within = inner(index)
    return keeps_rows(index) or type(within) is faiss.IndexIVFFlat


def memory(index: Any, count: int) -> int:
    """Bytes that an index of this kind needs in memory to search `count` rows."""
    import faiss

    within = inner(index)
    if isinstance(within, faiss.IndexPreTransform):
        return memory(within.index, count)
    if isinstance(within, faiss.IndexIVF):
        return count * (int(within.code_size) + 8) + _cells(index) * int(within.d) * 4
    if isinstance(within, faiss.IndexHNSW):
        links = within.hnsw.nb_neighbors(0) + within.hnsw.nb_neighbors(1) // 16  # a 16th or less are on upper levels
        return count * (downcast(within.storage).sa_code_size() + 4 * links + 12 + 8)  # type: ignore[no-any-return]
    try:
        return count * (within.sa_code_size() + 8)  # type: ignore[no-any-return]
    except RuntimeError:  # a kind that does not say: as large as it is by now
        return len(faiss.serialize_index(index))


def selector(allowed: NDArray[np.bool_]) -> Any:
    """What lets through only the numbers that are allowed."""
    import faiss

    packed = np.packbits(allowed, bitorder="little")
    made = faiss.IDSelectorBitmap(packed)
    made.bits = packed  # FAISS keeps no more than a pointer
    return made


def remove(index: Any, ids: Ids) -> None:
    """Remove rows from an index that supports removal."""
    import faiss

    index.remove_ids(faiss.IDSelectorBatch(ids))


def is_exact(index: Any) -> bool:
    """Whether every search is a scan of rows as they were put in."""
    return keeps_rows(index) and _cells(index) == 0 and not hasattr(inner(index), "hnsw")


def can_remove(index: Any) -> bool:
    """Return whether rows can be removed from a kind of index without rebuilding it."""
    import faiss

    within = inner(index)
    if isinstance(within, faiss.IndexPreTransform):
        return can_remove(within.index)
    return isinstance(within, faiss.IndexFlatCodes | faiss.IndexIVF)


def search(index: Any, queries: Vectors, k: int, given: Any = None) -> tuple[Vectors, Ids]:
    """Return scores and ids (Q, k) of the nearest vectors.

    faiss.contrib.torch_utils, which pytorch-metric-learning imports, puts a search in its place that takes none, and
    keeps the real one beside it.

    Args:
        index: of FAISS.
        queries: (Q, D).
        k: number of neighbors.
        given: search parameters of FAISS.
    """
    found: tuple[Vectors, Ids] = getattr(index, "search_numpy", index.search)(queries, k, params=given)
    return found


def parameters(index: Any, selector: Any, effort: int) -> Any:
    """Return the parameters of a search restricted by a selector; None: those that are set.

    Args:
        index: of FAISS.
        selector: of FAISS; None: all rows.
        effort: factor on the cells or links that a search visits.
    """
    import faiss

    index = inner(index)
    if selector is None:
        return None
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=parameters(index.index, selector, effort))
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=min(index.nprobe * effort, index.nlist))
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch * effort)
    return faiss.SearchParameters(sel=selector)


def read(file: Path, *, mapped: bool = True) -> Any:
    """A FAISS file, memory-mapped (to search) or in memory (to change); raises ValueError where it cannot be read."""
    import faiss

    try:
        found = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except (RuntimeError, MemoryError) as error:  # its text quotes C++
        if not file.exists():
            raise FileNotFoundError(str(file)) from error
        raise ValueError(f"{file.name} cannot be read") from error
    if not isinstance(found, faiss.IndexIDMap) and not _keeps_ids(found):
        raise ValueError(f"{file.name} holds no ids")
    return found


def write(index: Any, file: Path) -> None:
    """Write a FAISS file; raises OSError where the disk refuses it, which FAISS itself may only print."""
    import faiss

    sizes: list[int] = []
    faiss.write_index(index, faiss.PyCallbackIOWriter(lambda block: sizes.append(len(block)), _WRITTEN))
    with file.open("wb") as stream:
        storage.reserve(stream.fileno(), sum(sizes), file)
        faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write, _WRITTEN))


def inner(index: Any) -> Any:
    """The index inside the table of its ids, where there is one, as what it is."""
    import faiss

    index = downcast(index)
    return downcast(index.index) if isinstance(index, faiss.IndexIDMap) else index


def core(index: Any) -> Any:
    """What is inside of ids and of what is done to vectors before."""
    import faiss

    within = inner(index)
    return downcast(within.index) if isinstance(within, faiss.IndexPreTransform) else within


def downcast(index: Any) -> Any:
    """The index as what it is."""
    import faiss

    return faiss.downcast_index(index)


def _keeps_ids(index: Any) -> bool:
    """Whether a kind takes ids by itself: cells do, also behind a transformation."""
    import faiss

    index = downcast(index)
    if isinstance(index, faiss.IndexPreTransform):
        return _keeps_ids(index.index)
    return isinstance(index, faiss.IndexIVF)
