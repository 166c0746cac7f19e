"""A catalog in a Milvus collection, served by milvus-lite: pushed, searched, updated, and what goes wrong."""

import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dmlcli.catalog import Item
from dmlcli.embeddings import Embeddings, FileState, open_embeddings, save
from dmlcli.errors import CannotRun
from dmlcli.indexes import open_index
from dmlcli.indexes.milvus import address, collection, push, server
from tests.conftest import Cli, Run, encoded, photo, process


def goods(folder: str, first: int = 0, last: int = 60, *, dim: int = 8, price: float = 1.0) -> Path:
    """Embeddings of numbered images, five of each product, with columns of their own."""
    vectors = np.random.default_rng(0).normal(size=(last, dim)).astype(np.float32)[first:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = []
    for row in range(first, last):
        color = (("color", ["red", "blue"][row % 3]),) if row % 3 < 2 else ()
        items.append(Item(f"{row}.png", f"p{row // 5}", columns=(("price", str(row * price / 2)), *color)))
    states = [FileState(1, 1, str(row)) for row in range(first, last)]
    Path("photos").mkdir(exist_ok=True)
    save(Path(folder), Embeddings(Path("photos").resolve(), items, states, vectors, ""))
    return Path(folder)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a collection in a file that nobody else has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILVUS_TOKEN", raising=False)
    yield "milvus:./f.db/shop"
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_server("./f.db")


def report_of(found: Run) -> dict[str, object]:
    assert found.code == 0, found.err
    report: dict[str, object] = json.loads(found.out)
    return report


def held(place: str) -> dict[int, tuple[object, ...]]:
    """Everything that a collection holds, by id."""
    opened = collection.open_collection(address.parse(place))
    ids, products = opened.products()
    vectors = opened.vectors(ids)
    found: dict[int, tuple[object, ...]] = {
        int(number): (product, *opened.details([int(number)])[0][:2], tuple(vector.tolist()))
        for number, product, vector in zip(ids, products, vectors, strict=True)
    }
    assert [opened.product(int(number)) for number in ids] == products
    opened.server.close()
    return found


def rows(text: str) -> list[tuple[list[str], float]]:
    """Lines of tsv, their scores apart: two engines may differ in the last digit."""
    cells = [line.split("\t") for line in text.splitlines()]
    return [([*cell[:2], *cell[3:]], float(cell[2])) for cell in cells]


def without_scores(text: str) -> str:
    return re.sub(r"\d\.\d{5,}(e-\d+)?", "#", text)


SAME = [
    ["--like", "p3"],
    ["--like", "7.png", "-k", "60"],
    ["--like", "p3", "--where", "price < 20 and color = 'red'"],
    ["--like", "p3", "--where", "color is not null and not price between 2 and 9", "-k", "50"],
    ["--like", "p3", "--where", "color like 'R%'"],
    ["--like", "p3", "--by", "product", "-k", "5"],
    ["--like", "p3", "--by", "product", "--pool", "mean", "--where", "price > 3"],
    ["--like", "p3", "--by", "product", "--pool", "vote"],
    ["--like", "p3", "--rerank", "k-reciprocal:k1=5"],
    ["--like", "p3", "--like", "p7", "--fuse"],
    ["--like", "p3", "--minus", "p7"],
    ["--like", "p3", "--min-score", "0.5"],
    ["--like", "p3", "--min-score", "0.9999"],
    ["--like", "p3", "--max-false-accepts", "5%"],
    ["--like", "p3", "--pool", "top3", "--where", "price > 3"],
    ["--like", "7.png", "--by", "image"],
    ["--like", "p3", "--where", "price > 1000"],
    ["--vector", "one.npy"],
]


def test_a_collection_answers_as_a_folder_does(place: str, cli: Cli) -> None:
    goods("shop")
    np.save("one.npy", np.random.default_rng(1).normal(size=8))
    cli("index", "shop", "-w", "w", "-o", "folder")
    report = report_of(cli("index", "shop", "-w", "w", "--to", place, "--format", "json"))
    assert (report["parity"], report["images"], report["added"], report["output"]) == (1, 60, 60, place)
    for asked in SAME:
        local, there = (cli("query", *asked, "--index", index) for index in ("folder", place))
        assert (local.code, local.err) == (there.code, there.err), asked
        found = rows(there.out)
        for (expected, score), (cells, other) in zip(rows(local.out), found, strict=True):
            assert cells == expected and abs(score - other) < 1e-5, asked
    for format in ("json", "jsonl", "csv", "paths"):
        one, other_one = (
            cli("query", "--like", "p3", "--format", format, "--index", index).out for index in ("folder", place)
        )
        assert without_scores(one) == without_scores(other_one.replace(place, "folder")), format
    shown = cli("index", "shop", "-w", "w", "--to", place).out
    assert "parity   100.0 % of the ten nearest by exact search" in shown


def test_pushing_again_changes_nothing_and_what_changed_is_written(place: str, cli: Cli) -> None:
    push_it = ["-w", "w", "--to", place, "--format", "json"]
    goods("shop")
    cli("index", "shop", *push_it)
    before = held(place)
    again = report_of(cli("index", "shop", *push_it))
    assert (again["added"], again["removed"]) == (0, 0) and held(place) == before
    goods("shop", price=2)
    again = report_of(cli("index", "shop", *push_it, "--update"))
    after = held(place)
    assert (again["added"], again["removed"]) == (0, 0) and after.keys() == before.keys()
    assert after[3][2] == {"price": 3.0, "color": "red"} and before[3][2] == {"price": 1.5, "color": "red"}
    fewer = report_of(cli("index", str(goods("shop", 0, 40, price=2)), *push_it))
    assert (fewer["images"], fewer["removed"], fewer["parity"]) == (40, 20, 1)


def test_an_update_gives_the_ids_that_a_folder_gives(place: str, cli: Cli) -> None:
    for first, last in ((0, 50), (10, 60), (5, 55)):
        file = goods("shop", first, last)
        local = report_of(cli("index", file, "-w", "w", "-o", "folder", "--update", "--format", "json"))
        there = report_of(cli("index", file, "-w", "w", "--to", place, "--update", "--format", "json"))
        assert (local["added"], local["removed"]) == (there["added"], there["removed"])
        opened = open_index(Path("folder"))
        expected = {row.id: (row.product, row.image.name) for row in opened.rows()}
        found = collection.open_collection(address.parse(place))
        paths = found.server.with_ids(list(expected), ["product", "path"])
        assert {number: (row["product"], row["path"]) for number, row in paths.items()} == expected
        assert found.images == opened.images and found.record.next_id == opened.record.next_id
        found.server.close()


def test_photos_are_searched_with_and_the_model_must_be_theirs(
    shop: Path, plain_model: Path, place: str, cli: Cli, tmp_path: Path
) -> None:
    common = ["--model", plain_model, "-w", tmp_path / "w"]
    assert cli("index", shop, *common, "--to", place).code == 0
    (shop / "product-04").mkdir()
    (shop / "product-04" / "0.png").write_bytes(encoded(photo(4)))
    (shop / "product-00" / "0.png").unlink()
    changed = report_of(cli("index", shop, *common, "--to", place, "--update", "--format", "json"))
    assert (changed["added"], changed["removed"]) == (1, 1)
    found = cli("query", shop / "product-04" / "0.png", "--index", place, "-k", 3)
    assert found.code == 0 and found.out.splitlines()[0].split("\t")[2:4] == ["1.000000", "product-04"]
    assert found.out.splitlines()[0].endswith("shop/product-04/0.png")
    np.savez(tmp_path / "other.npz", embeddings=np.eye(5), labels=np.array(list("abcde")))
    for update in ([], ["--update"]):
        refused = cli("index", tmp_path / "other.npz", "-w", tmp_path / "w", "--to", place, *update)
        assert refused.code == 4 and "another model" in refused.err and "--replace" in refused.err
    assert cli("index", tmp_path / "other.npz", "-w", tmp_path / "w", "--to", place, "--replace").code == 0
    assert cli("query", "--like", "a", "--index", place).out.count("\n") == 5
    refused = cli("query", shop / "product-04" / "0.png", "--index", place)
    assert refused.code == 4 and "--model" in refused.err


@pytest.mark.slow
def test_another_machine_searches_with_its_own_copy_of_the_model(
    shop: Path, plain_model: Path, place: str, cli: Cli, tmp_path: Path
) -> None:
    model = shutil.copytree(plain_model, tmp_path / "model")
    assert cli("index", shop, "--model", model, "-w", "w", "--to", place).code == 0
    (tmp_path / "there").mkdir()
    model.rename(tmp_path / "there" / "model")
    asked = ["query", shop / "product-01" / "0.png", "--index", place, "-k", 1]
    found = cli(*asked, "-w", "there", "--explain", "--sheet", "sheet.png")
    assert found.code == 0 and "product-01" in found.out and "FLAT on Milvus" in found.err + found.out
    assert Path("sheet.png").stat().st_size > 1000
    found = cli(*asked, "-w", "nowhere")
    assert found.code == 4 and "hint: specify it with --model MODEL" in found.err


@pytest.mark.slow
def test_a_push_that_was_stopped_is_gone_on_with(place: str, cli: Cli) -> None:
    """Some rows are there and the record is not whole: what a killed push leaves."""
    file = goods("shop")
    cli("index", file, "-w", "w", "--to", place)
    whole = held(place)
    where, record = push.connect(address.parse(place), update=False)
    assert record is not None
    where.delete(np.arange(30, 60))
    where.note("dmlcli.record", record.as_text().replace('"whole": true', '"whole": false'))
    where.close()
    found = cli("query", "--like", "p3", "--index", place)
    assert found.code == 0 and "was stopped" in found.err
    again = report_of(cli("index", file, "-w", "w", "--to", place, "--format", "json"))
    assert again["added"] == 30 and held(place) == whole


def test_what_is_not_there_is_reported(place: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cli("query", "--like", "p3", "--index", place)
    assert found.code == 4 and "file not found: ./f.db" in found.err and not Path("f.db").exists()
    cli("index", goods("shop"), "-w", "w", "--to", place)
    found = cli("query", "--like", "p3", "--index", "milvus:f.db/shpo")
    assert found.code == 4 and "collection shpo not found" in found.err and "did you mean shop?" in found.err
    found = cli("query", "--like", "p3", "--index", "milvus:f.db/zzz")
    assert found.code == 4 and "known: shop" in found.err
    found = cli("query", "--like", "p3", "--index", place, "--where", "color like 'porcelain%'")
    assert found.code == 2 and "glob 'porcelain*'" in found.err
    assert cli("query", "--like", "q3", "--index", place).code == 2
    found = cli("duplicates", "--index", place)
    assert found.code == 2 and "index folder" in found.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        found = cli("query", "--like", "p3", "--index", f"milvus://127.0.0.1:{taken.getsockname()[1]}/shop")
    assert found.code == 4 and "does not answer" in found.err and "hint: is it up" in found.err
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    found = cli("query", "--like", "p3", "--index", place)
    assert found.code == 4 and "pip install 'dmlcli[milvus]'" in found.err


def test_a_collection_of_somebody_else_is_left_alone(place: str, cli: Cli) -> None:
    where = server.Server(address.parse(place), make=True)
    where._client.create_collection("shop", dimension=4)
    where.close()
    for asked in (
        ["query", "--like", "p3", "--index"],
        ["index", goods("s"), "-w", "w", "--replace", "--to"],
    ):
        found = cli(*asked, place)
        assert found.code == 4 and "was not made by dmlcli" in found.err


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--to", "milvus:f.db/a", "-o", "x"], "remove one"),
        (["--to", "milvus:f.db/a", "--auto"], "--factory"),
        (["--to", "milvus:f.db/a", "--factory", "IVF8"], "known: FLAT"),
        (["--to", "folder"], "milvus://"),
        (["--to", "milvus://me:secret@host"], "milvus://"),
        (["--replace"], "--to"),
        (["-o", "milvus://host/a"], "--to"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(options: list[str], hint: str, place: str, cli: Cli) -> None:
    found = cli("index", goods("shop"), "-w", "w", *options)
    assert found.code == 2 and hint in found.err.split("hint:")[1] and "secret" not in found.err


# What follows needs a server that can be killed, or that has no room.


class Served:
    """milvus-lite as a server of its own."""

    def __init__(self, folder: Path, largest: int | None = None) -> None:
        self.folder, self._largest = folder, largest
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.place = f"milvus://127.0.0.1:{self.port}/shop"
        self.start()

    def start(self) -> None:
        def limit() -> None:
            if self._largest:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self._largest, self._largest))

        command = ["-m", "milvus_lite", "server", "--host", "127.0.0.1"]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--port", str(self.port), "--data-dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=limit,
        )
        wait_for(self._answers)

    def stop(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait()

    def _answers(self) -> bool:
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", self.port)) == 0

    def written(self) -> int:
        """Bytes that it has been given."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def wait_for(happened: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    running = Served(tmp_path / "served.db")
    yield running
    running.stop()


def start_pushing(place: str, file: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dmlcli", "index", str(file), "-w", "w", "--to", place]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_server_that_is_restarted_is_pushed_on_to(served: Served) -> None:
    file = goods("big", 0, 12_000, dim=16)
    with start_pushing(served.place, file) as pushing:
        wait_for(lambda: served.written() > 200_000)
        served.stop(signal.SIGINT)
        served.start()
        assert pushing.stderr is not None
        said = pushing.stderr.read().decode()
        assert pushing.wait(120) == 0 and "asked again" in said, said
    opened = collection.open_collection(address.parse(served.place))
    assert opened.images == 12_000 and opened.record.whole


@pytest.mark.slow
def test_a_file_has_one_process_at_a_time(place: str, cli: Cli, tmp_path: Path) -> None:
    cli("index", goods("shop"), "-w", "w", "--to", place)
    where, _ = push.connect(address.parse(place), update=False)
    done = process("query", "--like", "p3", "--index", place, cwd=tmp_path)
    where.close()
    assert done.returncode == 4 and b"is another process using the file?" in done.stderr


@pytest.mark.slow
def test_a_killed_push_is_gone_on_with_and_ends_the_same(served: Served, cli: Cli) -> None:
    file = goods("big", 0, 12_000, dim=16)
    with start_pushing(served.place, file) as pushing:
        wait_for(lambda: served.written() > 200_000)
        pushing.kill()
    with pytest.warns(UserWarning, match="was stopped"):
        partly = collection.open_collection(address.parse(served.place))
    assert 0 < partly.images < 12_000 and not partly.record.whole
    report = report_of(cli("index", file, "-w", "w", "--to", served.place, "--format", "json"))
    assert report["images"] == 12_000 and report["added"] == 12_000 - partly.images and report["parity"] == 1
    opened = collection.open_collection(address.parse(served.place))
    vectors = open_embeddings(file).vectors
    assert (opened.vectors(np.arange(12_000)) == vectors).all()


@pytest.mark.slow
def test_a_full_server_is_reported_and_what_was_pushed_stays(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    full = Served(tmp_path / "full.db", largest=400_000)
    found = cli("index", goods("big", 0, 12_000, dim=16), "-w", "w", "--to", full.place)
    full.stop()
    assert found.code == 4 and "is full" in found.err and "hint: free space" in found.err
    roomy = Served(tmp_path / "full.db")
    report = report_of(cli("index", "big", "-w", "w", "--to", roomy.place, "--format", "json"))
    roomy.stop()
    assert report["images"] == 12_000 and report["parity"] == 1


@pytest.mark.slow
def test_a_server_that_goes_away_for_good_is_reported(served: Served) -> None:
    where, _ = push.connect(address.parse(served.place), update=False)
    served.stop()
    with pytest.raises(CannotRun, match="does not answer"):
        where._ask(where._client.list_collections, pauses=(0, 1))
