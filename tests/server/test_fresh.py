"""A server whose index changes, or that is killed, while clients search."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import dmlcli
from tests.conftest import SAMPLE, Mission
from tests.server.conftest import write_table
from tests.server.running import Running, running
from tests.server.test_routes import PHOTO


@pytest.fixture
def own_shop(mission: Mission, tmp_path: Path) -> Path:
    """A shop of its own, with half of the mission's products."""
    products = sorted({photo.parent for photo in mission.images()})
    for product in products[:10]:
        shutil.copytree(product, tmp_path / "catalog" / product.parent.name / product.name)
    write_table(tmp_path / "shop.csv", sorted((tmp_path / "catalog").rglob("*.jpg")))
    dmlcli.index(tmp_path / "shop.csv", model=mission.workspace / "model", workspace=tmp_path / ".dmlcli")
    return tmp_path


@contextmanager
def load(server: Running, answers: list[Any], clients: int = 4) -> Iterator[None]:
    """Clients that search without a pause, and what they get."""
    over, photo = threading.Event(), PHOTO.read_bytes()

    def search() -> None:
        with server.client() as client:
            while not over.is_set():
                try:
                    found = client.post("/v1/search", content=photo, headers={"content-type": "image/jpeg"})
                    answers.append((found.status_code, found.json()))
                except httpx.TransportError as error:
                    answers.append((0, error))
                    time.sleep(0.05)

    threads = [threading.Thread(target=search) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_for(condition: Any, seconds: float) -> float:
    """Wait until a condition holds, and return how long that took."""
    since = time.monotonic()
    while not condition():
        assert time.monotonic() - since < seconds
        time.sleep(0.05)
    return time.monotonic() - since


def test_an_update_is_seen_within_two_seconds_without_a_lost_request(own_shop: Path, mission: Mission) -> None:
    product = sorted({photo.parent for photo in mission.images()})[12]  # not in this shop yet
    shot = SAMPLE / "queries" / product.name / "1.jpg"
    answers: list[Any] = []
    with running(own_shop) as server:
        assert product.name not in {hit["product"] for hit in server.search(shot)["hits"]}
        shutil.copytree(product, own_shop / "catalog" / product.parent.name / product.name)
        write_table(own_shop / "shop.csv", sorted((own_shop / "catalog").rglob("*.jpg")))
        with load(server, answers):
            model = mission.workspace / "model"
            dmlcli.index(own_shop / "shop.csv", update=True, model=model, workspace=own_shop / ".dmlcli")
            took = wait_for(lambda: server.search(shot)["hits"][0]["product"] == product.name, 10)
            time.sleep(0.5)
    assert took < 2  # half a second until the next look, and searches between those of the other clients
    assert len(answers) > 10 and {status for status, _ in answers} == {200}
    # every answer is that of one of the two states, never a mixture
    assert len({str([(hit["product"], hit["score"]) for hit in answer["hits"]]) for _, answer in answers}) <= 2


def test_a_rebuilt_index_with_another_model_is_taken_up(own_shop: Path, plain_model: Path) -> None:
    with running(own_shop) as server:
        before = server.search(PHOTO)
        dmlcli.index(own_shop / "shop.csv", model=plain_model, workspace=own_shop / ".dmlcli")

        def model() -> str:
            with server.client() as client:
                return str(client.get("/v1/index").json()["indexes"][0]["model"])

        old = model()
        wait_for(lambda: model() != old or server.search(PHOTO)["hits"][0]["score"] != before["hits"][0]["score"], 90)
        assert server.search(PHOTO)["hits"]
        assert not any('"status": 5' in line for line in server.log)


def test_a_damaged_index_does_not_replace_the_one_that_is_open(own_shop: Path) -> None:
    with running(own_shop) as server:
        expected = server.search(PHOTO)["hits"]
        (own_shop / ".dmlcli" / "index" / "index.json").write_text("{")
        wait_for(lambda: any("cannot be opened again" in line for line in server.log), 5)
        assert server.search(PHOTO)["hits"] == expected


def test_after_kill_9_a_new_one_answers_the_same(own_shop: Path) -> None:
    answers: list[Any] = []
    with running(own_shop) as server:
        expected = server.search(PHOTO)["hits"]
        port = server.url.rpartition(":")[2]
        with load(server, answers):
            time.sleep(0.5)
            server.process.kill()
            server.process.wait()
            with running(own_shop, "--port", port) as again:
                wait_for(lambda: answers[-1][0] == 200, 10)
                assert again.search(PHOTO)["hits"] == expected
                time.sleep(0.3)
    assert {status for status, _ in answers} <= {0, 200}  # refused in between, and never wrong
    assert all(answer["hits"] == expected for status, answer in answers if status == 200)


def test_a_collection_on_milvus_is_searched(own_shop: Path, mission: Mission, tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    address = f"milvus:{tmp_path / 'shop.db'}/shop"
    model = mission.workspace / "model"
    dmlcli.index(own_shop / "shop.csv", to=address, model=model, workspace=own_shop / ".dmlcli")
    with running(own_shop, "--index", f"shop={address}") as server:
        found = server.search(PHOTO, top_k=3, where="price > 0")
        with server.client() as client:
            about = client.get("/v1/index").json()["indexes"][0]
            assert found["hits"] and about["images"] == 50 and "Milvus" in about["kind"]
            assert client.get(found["hits"][0]["image"]).status_code == 200
