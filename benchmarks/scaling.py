"""What 10^6, 10^8 and 10^10 images cost: rates are measured here, the rest is arithmetic, and both are printed.

    python -m benchmarks.scaling                     # the page from the rates that were kept, in docs/scaling.md too
    python -m benchmarks.scaling --measure [--photos FOLDER] [--rows 100000]

Rates are core-seconds, of all threads of the process, so that other programs on the machine disturb them little. They
are kept in benchmarks/scaling.json.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

RATES = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- from here by benchmarks/scaling.py -->", "<!-- to here -->"
SIZES = (10**6, 10**8, 10**10)
DIM = 256
FURTHER = 10**7  # rows among which what a kind keeps once no longer counts
CORES, MEMORY = 16, 64e9  # of the machine that is counted in
USABLE = 0.75  # of its memory
WEEK = 7 * 24 * 3600


@dataclass(frozen=True)
class Rates:
    """What was measured; seconds are core-seconds, bytes are of one row."""

    machine: str
    photos: int  # that were embedded
    backbone: str
    embed: float  # seconds an image, from the file to the vector
    rows: int  # of DIM dimensions, that were indexed, searched and pushed
    table: float  # bytes of the item table on disk
    items: float  # bytes of memory of what is known of an image, in the process that indexes or pushes
    exact: float  # seconds a row and query
    graph_build: float  # seconds a row, HNSW32, at that many rows
    graph_search: float  # seconds a query
    graph_memory: float  # bytes
    cells_memory: float  # bytes, IVF with product quantization
    push: float  # seconds a row, of the process that pushes
    pushed: float  # rows a second on the clock, into milvus-lite on the same machine


def main() -> None:
    """Measure if asked to, and write the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--photos", type=Path, default=Path(__file__).parents[1] / "sample_data" / "catalog")
    parser.add_argument("--rows", type=int, default=100_000)
    asked = parser.parse_args()
    if asked.measure:
        rates = measured(asked.photos, asked.rows)
        RATES.write_text(json.dumps(asdict(rates), indent=2) + "\n")
    PAGE.write_text(written(PAGE.read_text(), table(kept())))
    print(table(kept()))


def written(page: str, tables: str) -> str:
    """The page with these tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


def kept() -> Rates:
    """The rates that were measured last."""
    return Rates(**json.loads(RATES.read_text()))


def table(rates: Rates) -> str:
    """The tables of the page: the rates, the arithmetic, and what comes of it."""
    r, wide = rates, 4 * DIM
    facts = [
        ("e", "embedding an image, from the file", f"{1e3 * r.embed:.1f} core-ms ({r.backbone}, {r.photos} photos)"),
        ("v", f"a vector of {DIM} dimensions, float32", f"{wide} bytes"),
        ("t", "its row in the item table, on disk", f"{r.table:.0f} bytes"),
        ("i", "the same in the memory of the process that indexes or pushes", f"{r.items:.0f} bytes"),
        ("x", "exact search, a row, for one query alone", f"{1e9 * r.exact:.0f} core-ns"),
        ("b", f"building a graph (HNSW32), a row of N₀ = {r.rows:,}", f"{1e6 * r.graph_build:.0f} core-µs"),
        ("g", "the graph in memory, a row", f"{r.graph_memory:.0f} bytes"),
        ("s", "searching it, a query", f"{1e3 * r.graph_search:.2f} core-ms"),
        ("q", "cells with product quantization in memory, a row", f"{r.cells_memory:.0f} bytes"),
        ("p", "pushing a row, in the process that pushes", f"{1e6 * r.push:.0f} core-µs"),
        ("", "pushed into milvus-lite on the same machine", f"{r.pushed:,.0f} rows a second"),
    ]
    costs: list[tuple[str, str, Callable[[int], str]]] = [
        ("embedding, core-time", "N e", lambda n: _time(n * r.embed)),
        (f"machines of {CORES} cores that do it in a week", "N e / 16 / 1 week", lambda n: _week(n * r.embed)),
        ("vectors and item table on disk", "N (v + t)", lambda n: _bytes(n * (wide + r.table))),
        ("memory of the process that indexes or pushes", "N i", lambda n: _bytes(n * r.items)),
        ("exact index in memory", "N (v + 8)", lambda n: _bytes(n * (wide + 8))),
        ("exact search, core-time a query", "N x", lambda n: _time(n * r.exact)),
        ("cells with product quantization in memory", "N q", lambda n: _bytes(n * r.cells_memory)),
        ("graph in memory, of one machine or of all query nodes", "N g", lambda n: _bytes(n * r.graph_memory)),
        ("query nodes of 64 GB that hold it", "N g / 48 GB", lambda n: _nodes(n * r.graph_memory)),
        ("building the graph, core-time", "N b log N / log N₀", lambda n: _time(_built(n, r))),
        ("pushing, core-time of the process that pushes", "N p", lambda n: _time(n * r.push)),
    ]
    sizes = " | ".join(_power(n) for n in SIZES)
    return "\n".join(
        [
            f"Measured on {r.machine}:",
            "",
            "| | rate | measured |",
            "|---|---|---|",
            *[f"| {name} | {what} | {value} |" for name, what, value in facts],
            "",
            f"| for N images | arithmetic | {sizes} |",
            "|---|---|---|---|---|",
            *[f"| {what} | {how} | {' | '.join(of(n) for n in SIZES)} |" for what, how, of in costs],
        ]
    )


def measured(photos: Path, rows: int) -> Rates:
    """Take all rates."""
    from benchmarks.index import clustered, named
    from dmlcli import embeddings, indexes
    from dmlcli.indexes import IndexRequirements, faiss_kinds

    embed, count, backbone = _embedding(photos)
    vectors = clustered(rows + 1000, DIM)
    queries, vectors = vectors[:1000], vectors[1000:]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        embeddings.save(folder / "embeddings", named(vectors, 0))
        tracemalloc.start()
        opened = embeddings.open_embeddings(folder / "embeddings")  # its vectors stay on disk
        items = tracemalloc.get_traced_memory()[0] / rows
        tracemalloc.stop()
        exact = indexes.build(folder / "exact", opened, None, IndexRequirements("Flat"))
        few = queries[:100]
        scan = _core_seconds(lambda: [exact.search(query[None], 10) for query in few]) / len(few) / rows
        table = exact.items_file.stat().st_size / rows
        graph_build = (
            _core_seconds(lambda: indexes.build(folder / "graph", opened, None, IndexRequirements("HNSW32"))) / rows
        )
        graph = indexes.open_index(folder / "graph")
        graph_search = _core_seconds(lambda: [graph.search(query[None], 10) for query in queries]) / len(queries)
        cells = indexes.build(folder / "cells", opened, None, IndexRequirements(f"IVF1024,PQ{DIM // 4}", 0.1))
        push, pushed = _pushing(folder)
        return Rates(
            machine=_machine(),
            photos=count,
            backbone=backbone,
            embed=embed,
            rows=rows,
            table=table,
            items=items,
            exact=scan,
            graph_build=graph_build,
            graph_search=graph_search,
            graph_memory=graph.record.memory / rows,
            cells_memory=faiss_kinds.memory(cells.searcher.near, FURTHER) / FURTHER,
            push=push,
            pushed=pushed,
        )


def _embedding(photos: Path) -> tuple[float, int, str]:
    """Core-seconds an image by the default backbone; how it is weighted makes no difference to that."""
    import dmlcli
    from dmlcli.catalog import open_catalog
    from dmlcli.encoder import Encoder
    from dmlcli.model import open_model

    with tempfile.TemporaryDirectory() as scratch:
        dmlcli.train(photos, tune="none", weights="none", no_index=True, workspace=Path(scratch))
        encoder = Encoder(open_model(Path(scratch) / "model"))
        catalog = open_catalog(photos)
        encoder.embed_catalog(catalog, ())  # warm
        took = _core_seconds(lambda: encoder.embed_catalog(catalog, ()))
    return took / len(catalog.items), len(catalog.items), str(encoder.model.record.backbone)


def _pushing(folder: Path) -> tuple[float, float]:
    """Core-seconds a row of the process that pushes, and rows a second on the clock, with milvus-lite in another."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*command, "--data-dir", str(folder / "served.db")], stdout=subprocess.DEVNULL)
    try:
        from dmlcli import embeddings
        from dmlcli.indexes.milvus import address, entities, push

        time.sleep(5)
        where, _ = push.connect(address.parse(f"milvus://127.0.0.1:{port}/shop"), update=False)
        opened = embeddings.open_embeddings(folder / "embeddings")
        some = opened.take(range(20_000))
        where.create(DIM, [], "FLAT")
        started = time.perf_counter()

        def fill() -> None:
            made = entities.Rows(some, entities.contents(some))
            push._fill(where, made, np.arange(len(some.items)), np.arange(len(some.items)))

        took = _core_seconds(fill)
        return took / len(some.items), len(some.items) / (time.perf_counter() - started)
    finally:
        server.kill()
        server.wait()


def _core_seconds(action: Callable[[], Any]) -> float:
    before = time.process_time()
    action()
    return time.process_time() - before


def _machine() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores, {names[0].partition(':')[2].strip() if names else 'unknown'}, {memory:.0f} GB"


def _time(seconds: float) -> str:
    for unit, length in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= 2 * length or unit == "ms":
            return f"{_digits(seconds / length)} {unit}"
    raise AssertionError


def _bytes(count: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size or unit == "MB":
            return f"{_digits(count / size)} {unit}"
    raise AssertionError


def _digits(value: float) -> str:
    """Two of them that count."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _week(core_seconds: float) -> str:
    return f"{math.ceil(core_seconds / CORES / WEEK):,}"


def _nodes(count: float) -> str:
    return f"{math.ceil(count / MEMORY / USABLE):,}"


def _built(rows: int, rates: Rates) -> float:
    return rows * rates.graph_build * math.log(rows) / math.log(rates.rows)


def _power(number: int) -> str:
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(len(str(number)) - 1))


if __name__ == "__main__":
    main()
