"""The index at a million vectors: chosen, opened, searched, updated; beside raw FAISS, hnswlib and usearch.

    python -m benchmarks.index --duplicates          # 1,000,000 x 256, the chosen index, and its near copies
    python -m benchmarks.index --rows 100000 --peers # the peers as well, whose graphs take long to build

Vectors are clustered as a catalog is: categories, products in them, images of each, one in fifty of them a near copy
of another. Recall is measured with rows that the index never saw, against exact search. Times of searches are medians
of interleaved runs; those of building, updating and `dmlcli duplicates` (a process of its own) are of one run.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli import indexes, progress
from dmlcli.catalog import Item
from dmlcli.embeddings import Embeddings, FileState

Vectors = NDArray[np.float32]
IMAGES = 20  # of a product
BATCH, K, RUNS = 1000, 10, 15
UPDATED = 100  # one row in so many is replaced by the update
COPIED, COPY = 50, 0.98  # one row in so many is a copy of the one before it, with this cosine


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--target-recall", type=float, default=0.98)
    parser.add_argument("--max-memory", type=float, default=4.0, help="GB")
    parser.add_argument("--factory", help="make this kind instead of choosing")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--duplicates", action="store_true")
    asked = parser.parse_args()
    progress.listen(_Teller())
    changed = asked.rows // UPDATED
    vectors = clustered(asked.rows + changed + BATCH, asked.dim)
    queries, rest = vectors[:BATCH], vectors[BATCH:]
    requirements = indexes.IndexRequirements(
        asked.factory, asked.target_recall, int(asked.max_memory * 1e9), chosen=True
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        watch = Watch()
        index = indexes.build(folder, named(rest[: asked.rows], 0), None, requirements)
        print(f"built\t{watch}\t{index.kind} {index.record.settings}")
        print(f"why\t{index.record.why}\nmeasured\t{index.record.measured}")
        files = {file.name: round(file.stat().st_size / 1e6) for file in folder.iterdir()}
        print(f"memory\t{index.record.memory / 1e6:.0f} MB\tfiles {files}")
        before = resident()
        opening = median(lambda: indexes.open_index(folder))
        index = indexes.open_index(folder)
        show(index, queries, rest[: asked.rows])
        print(f"opened\t{opening * 1e3:.1f} ms\tresident growth {(resident() - before) / 1e6:.0f} MB")
        watch = Watch()
        last = named(rest[changed:], changed)  # the first rows go, as many come
        updated = indexes.update(folder, last, None)
        print(f"updated\t{watch}\t{updated.added} added, {updated.removed} removed\t{updated.index.record.measured}")
        show(updated.index, queries, rest[changed:], changed)
        if asked.duplicates:
            copies(folder, asked.rows)
    if asked.peers:
        peers(rest[: asked.rows], queries)
    print(f"peak of the whole process\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def clustered(rows: int, dim: int, seed: int = 0) -> Vectors:
    """Unit vectors (rows, dim): categories of 25 products, products of 20 images, in random order."""
    rng = np.random.default_rng(seed)
    products = -(-rows // IMAGES)
    categories = rng.standard_normal((-(-products // 25), dim), dtype=np.float32)
    centers = categories[np.arange(products) // 25] + rng.standard_normal((products, dim), dtype=np.float32)
    vectors = np.empty((rows, dim), np.float32)
    of = rng.permutation(np.arange(rows) // IMAGES)
    for start in range(0, rows, 100_000):
        block = centers[of[start : start + 100_000]]
        block = block + rng.standard_normal(block.shape, dtype=np.float32)
        vectors[start : start + 100_000] = block / np.linalg.norm(block, axis=1, keepdims=True)
    originals = vectors[COPIED - 2 :: COPIED][: rows // COPIED]
    noise = rng.standard_normal(originals.shape, dtype=np.float32)
    noise -= (noise * originals).sum(axis=1, keepdims=True) * originals
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors[COPIED - 1 :: COPIED] = COPY * originals + (1 - COPY**2) ** 0.5 * noise
    return vectors


def named(vectors: Vectors, first: int) -> Embeddings:
    """Embeddings of images that are called by their number."""
    numbers = range(first, first + len(vectors))
    items = [Item(f"products/{number // IMAGES}/{number}.jpg", f"product {number // IMAGES}") for number in numbers]
    return Embeddings(Path("/shop"), items, [FileState(1, 1, str(number)) for number in numbers], vectors, "")


def show(index: indexes.Index, queries: Vectors, vectors: Vectors, first: int = 0) -> None:
    """Recall against exact search, and the time of a batch beside that of FAISS alone: as numbers, and with names."""
    raw_index, factor = index.searcher.index, index.searcher.rescore_factor
    raw, numbers, shown = median_of(
        lambda: raw_index.search(queries, K * max(factor, 1)),
        lambda: index.nearest(queries, K),
        lambda: index.search(queries, K),
    )
    single = median(lambda: [index.search(query[None], K) for query in queries[:100]]) / 100
    found = np.array([[hit.id for hit in hits] for hits in index.search(queries, K)])
    _, truth = exact(queries, vectors)
    recall = recall_of(found - first, truth)
    print(
        f"searched\trecall@10 {recall:.4f}\tbatch of {BATCH}: FAISS alone {raw * 1e3:.1f} ms, scores and ids "
        f"{numbers * 1e3:.1f} ms ({100 * (numbers / raw - 1):+.1f} %), with names {shown * 1e3:.1f} ms "
        f"({100 * (shown / raw - 1):+.1f} %)\tone: {single * 1e6:.0f} µs"
    )


def copies(folder: Path, rows: int) -> None:
    """The near copies that `dmlcli duplicates` finds in an index, in a process of its own."""
    before, highest = time.perf_counter(), 0
    command = [sys.executable, "-m", "dmlcli", "duplicates", "--index", str(folder), "--format", "json"]
    with (folder.parent / "found.json").open("w+b") as out:
        running = subprocess.Popen(command, stdout=out)
        while not (ended := os.wait4(running.pid, os.WNOHANG))[0]:
            # the memory that wait4 reports is at least what this process had when it started the other
            status = Path(f"/proc/{running.pid}/status").read_text()
            highest = max([highest, *(int(line.split()[1]) for line in status.splitlines() if line[:5] == "VmHWM")])
            time.sleep(0.2)
        took, used = time.perf_counter() - before, ended[2]
        running.returncode = os.waitstatus_to_exitcode(ended[1])
        out.seek(0)
        groups = json.load(out)["groups"]
    print(
        f"duplicates\t{took:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU, peak {highest / 1e6:.2f} GB\t"
        f"{len(groups)} groups found, {rows // COPIED} copies are there"
    )


def exact(queries: Vectors, vectors: Vectors) -> Any:
    """Scores and rows of the nearest by FAISS's exact search."""
    import faiss

    return faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)


def recall_of(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Share of the true nearest that were found."""
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def peers(vectors: Vectors, queries: Vectors) -> None:
    """Graphs of hnswlib, usearch and FAISS with M 16 (FAISS: 32 links) at several breadths of search."""
    import faiss
    import hnswlib
    from usearch.index import Index as Usearch

    _, truth = exact(queries, vectors)
    started = time.perf_counter()
    graph = hnswlib.Index("ip", vectors.shape[1])
    graph.init_index(len(vectors), M=16, ef_construction=100, random_seed=0)
    graph.add_items(vectors)
    _peer("hnswlib M16", time.perf_counter() - started, graph.set_ef, lambda: graph.knn_query(queries, K)[0], truth)
    started = time.perf_counter()
    other = Usearch(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=16)
    other.add(np.arange(len(vectors)), vectors)

    def breadth(value: int) -> None:
        other.expansion_search = value

    _peer("usearch M16", time.perf_counter() - started, breadth, lambda: other.search(queries, K).keys, truth)
    started = time.perf_counter()
    raw = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    raw.add(vectors)

    def ahead(value: int) -> None:
        raw.hnsw.efSearch = value

    _peer("faiss HNSW32", time.perf_counter() - started, ahead, lambda: raw.search(queries, K)[1], truth)


def _peer(
    name: str, built: float, breadth: Callable[[int], None], search: Callable[[], Any], truth: NDArray[np.int64]
) -> None:
    for value in (16, 64, 256):
        breadth(value)
        took = median(search)
        found = np.asarray(search(), dtype=np.int64)
        print(f"{name}\tbuilt {built:.1f} s\tef {value}: recall@10 {recall_of(found, truth):.4f}\t{took * 1e3:.1f} ms")


def median(action: Callable[[], Any]) -> float:
    """Seconds, the median of several runs."""
    return median_of(action)[0]


def median_of(*actions: Callable[[], Any]) -> list[float]:
    """Seconds of each, medians of runs that take turns."""
    took: list[list[float]] = [[] for _ in actions]
    for _ in range(RUNS):
        for action, times in zip(actions, took, strict=True):
            started = time.perf_counter()
            action()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in took]


class Watch:
    """Seconds since it was made, on the clock and of the processor."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        took = time.perf_counter() - self._started[0], time.process_time() - self._started[1]
        return f"{took[0]:.1f} s, {took[1]:.1f} s of CPU"


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class _Teller(progress.Silent):
    def note(self, message: str) -> None:
        print(f"note\t{message}", flush=True)

    def warn(self, message: str) -> None:
        print(f"warning\t{message}", flush=True)


if __name__ == "__main__":
    main()
