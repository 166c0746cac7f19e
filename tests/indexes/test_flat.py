"""A small exact index without FAISS gives what FAISS gives, also while another index takes its place."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dmlcli import indexes
from dmlcli.indexes.flat import Flat
from dmlcli.indexes.searcher import Searcher
from tests.conftest import make_embeddings


def built(folder: Path, count: int = 700, dim: int = 24, seed: int = 0) -> indexes.Index:
    rng = np.random.default_rng(seed)
    made = make_embeddings(rng.normal(size=(count, dim)), [f"product {row % 9}" for row in range(count)])
    return indexes.build(folder, made, None)


@pytest.mark.parametrize("k", [1, 10, 5000])
def test_single_queries_get_what_faiss_gives(tmp_path: Path, k: int) -> None:
    searcher = built(tmp_path / "i").searcher
    assert isinstance(searcher, Flat)
    query = make_embeddings(np.random.default_rng(1).normal(size=(1, 24)), ["?"]).vectors
    scores, ids = searcher.search(query, k)
    expected_scores, expected_ids = Searcher(searcher.index).search(query, k)
    assert np.array_equal(ids, expected_ids) and np.allclose(scores, expected_scores, atol=1e-6)


def test_twins_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    made = make_embeddings(np.ones((6, 4)), list("abcdef"))
    (hits,) = indexes.build(tmp_path / "i", made, None).search(made.vectors[:1], 4)
    assert [hit.id for hit in hits] == sorted(hit.id for hit in hits)


def test_faiss_is_loaded_for_many_queries_only(tmp_path: Path) -> None:
    built(tmp_path / "i")
    script = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom dmlcli import indexes\n"
        f"index = indexes.open_index(Path({str(tmp_path / 'i')!r}))\n"
        "one = np.eye(24, dtype=np.float32)[:1]\nindex.search(one, 3)\nprint('faiss' in sys.modules)\n"
        "index.search(np.repeat(one, 20, axis=0), 3)\nprint('faiss' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_an_opened_index_is_not_changed_by_another_in_its_place(tmp_path: Path) -> None:
    old = built(tmp_path / "i")
    query = make_embeddings(np.random.default_rng(2).normal(size=(1, 24)), ["?"]).vectors
    before = old.searcher.search(query, 5)
    built(tmp_path / "i", count=300, seed=9)
    for _ in range(6):  # by NumPy at first, by FAISS then
        scores, ids = old.searcher.search(query, 5)
        assert np.array_equal(ids, before[1]) and np.allclose(scores, before[0], atol=1e-6)


def test_any_other_file_is_left_to_faiss(tmp_path: Path) -> None:
    index = built(tmp_path / "i")
    whole = (index.folder / "vectors.faiss").read_bytes()
    for data in (b"", b"hello" * 50, whole[:60], whole[:-4], whole + b"more"):
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(ValueError):
            Flat(tmp_path / "file")
