"""No row of a graph is out of reach."""

from typing import Any

import faiss
import numpy as np
import pytest

from dmlcli.indexes import faiss_kinds, graphs
from dmlcli.types import Vectors
from tests.indexes.test_indexes import clustered


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Several lay links in any order, and lose other rows each time."""
    faiss_kinds.use_all_cores(False)


def missed(graph: Any, rows: Vectors) -> int:
    """How many rows do not find themselves, however broad the search."""
    graph.hnsw.efSearch = len(rows)
    return int((graph.search(rows, 1)[1][:, 0] != np.arange(len(rows))).sum())


def test_rows_that_no_link_leads_to_get_one() -> None:
    rows = clustered().vectors
    graph = faiss.IndexHNSWFlat(rows.shape[1], 2, faiss.METRIC_INNER_PRODUCT)
    graph.add(rows)
    assert missed(graph, rows) > 5
    assert graphs.connect(graph) == 0 and missed(graph, rows) == 0
    assert graphs.connect(graph) == 0


@pytest.mark.parametrize("kind", ["HNSW4", "PCA16,HNSW4"])
def test_what_is_added_to_an_index_is_within_reach(kind: str) -> None:
    rows = clustered().vectors
    index = faiss_kinds.create(kind, rows.shape[1])
    faiss_kinds.train(index, rows)
    for part in (np.arange(300), np.arange(300, 400)):
        faiss_kinds.add(index, rows[part], part)
    graph = faiss_kinds.core(index)
    assert graphs.connect(graph) == 0
    graph.hnsw.efSearch = len(rows)
    assert (index.search(rows, 1)[1][:, 0] == np.arange(len(rows))).all()


def test_copies_of_one_vector_and_an_empty_graph_come_to_an_end() -> None:
    graph = faiss.IndexHNSWFlat(8, 4, faiss.METRIC_INNER_PRODUCT)
    assert graphs.connect(graph) == 0
    graph.add(np.tile(np.eye(1, 8, dtype=np.float32), (100, 1)))
    graphs.connect(graph)
    assert graph.search(np.eye(1, 8, dtype=np.float32), 3)[0].tolist() == [[1, 1, 1]]
