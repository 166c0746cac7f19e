"""The API: the same answers as `query`, photos by id, and errors that a program can act on."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import dmlcli
from dmlcli.report import schema
from tests.conftest import SAMPLE, Mission, encoded, photo, process
from tests.server.running import Running, running

PHOTO = sorted((SAMPLE / "queries").glob("*/1.jpg"))[0]


def about(hit: dict[str, Any]) -> dict[str, Any]:
    """A hit without the address of its photo, with numbers that may differ in their last digits."""
    return {
        name: pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
        for name, value in hit.items()
        if name != "image"
    }


def post(server: Running, path: str = "/v1/search", **request: Any) -> httpx.Response:
    with server.client() as client:
        return client.post(path, **request)


def asked(server: Running, parameters: Any, photo: Path = PHOTO) -> httpx.Response:
    content, kind = photo.read_bytes(), {"content-type": "image/jpeg"}
    return post(server, params=parameters, content=content, headers=kind)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, []),
        ({"top_k": 3, "by": "image"}, ["-k", 3, "--by", "image"]),
        ({"where": "price < 20 and category = 'mug'"}, ["--where", "price < 20 and category = 'mug'"]),
        ({"crop": "25%,0,50%,100%", "pool": "max"}, ["--crop", "25%,0,50%,100%", "--pool", "max"]),
        ({"crop": "auto"}, ["--crop", "auto"]),
        ({"columns": ["title", "price"]}, ["--columns", "title,price"]),
        ({"rerank": "aqe:k=3", "min_score": 0.2}, ["--rerank", "aqe:k=3", "--min-score", 0.2]),
        ({"max_false_accepts": "20%"}, ["--max-false-accepts", "20%"]),
    ],
)
def test_answers_are_those_of_query(
    server: Running, storefront: Path, options: dict[str, Any], words: list[object]
) -> None:
    done = process("query", PHOTO, *words, "--format", "jsonl", cwd=storefront)
    expected = json.loads(done.stdout)
    found = asked(server, options).json()
    assert [hit | {"image": ""} for hit in found["hits"]] == [about(hit) | {"image": ""} for hit in expected["hits"]]
    assert found["crop"] == expected["crop"]
    for name in ("closest", "min_score", "match", "min_match"):
        assert found[name] == (None if expected[name] is None else pytest.approx(expected[name], abs=1e-4))
    paths = [hit["image"] for hit in expected["hits"]]
    assert all(path not in json.dumps(found) for path in paths)


def test_a_photo_comes_as_form_bytes_or_product(server: Running) -> None:
    data = PHOTO.read_bytes()
    plain = asked(server, {}).json()
    form = post(server, files={"image": ("shot.jpg", data)}, data={"top_k": "10"}).json()
    assert form["query"] == "shot.jpg" and form["hits"] == plain["hits"]
    product = plain["hits"][0]["product"]
    liked = post(server, json={"like": product, "top_k": 1}).json()
    assert liked["query"] == product and liked["hits"][0]["product"] == product
    image = post(server, json={"like": f"id:{plain['hits'][0]['id']}", "by": "image", "top_k": 1}).json()
    assert image["hits"][0]["id"] == plain["hits"][0]["id"] and image["hits"][0]["cosine"] == pytest.approx(1, abs=1e-3)


def test_several_photos_of_a_form_are_one_query(server: Running, storefront: Path) -> None:
    photos = sorted((SAMPLE / "queries").glob("*/*.jpg"))[:2]
    fused = post(server, files=[("image", (one.name, one.read_bytes())) for one in photos]).json()
    expected = json.loads(process("query", *photos, "--fuse", "--format", "jsonl", cwd=storefront).stdout)
    assert [hit["product"] for hit in fused["hits"]] == [hit["product"] for hit in expected["hits"]]


def test_feedback_names_products_and_images(server: Running) -> None:
    first, second = asked(server, {"top_k": 2}).json()["hits"]
    without = asked(server, {"wrong": [first["product"]]}).json()["hits"]
    assert first["product"] not in [hit["product"] for hit in without]
    by_id = asked(server, {"wrong": [f"id:{first['id']}"], "by": "image", "top_k": 100}).json()["hits"]
    assert first["id"] not in [hit["id"] for hit in by_id]
    right = asked(server, {"right": [second["product"]]}).json()["hits"]
    assert right[0]["product"] == second["product"]


def test_an_answer_as_csv(server: Running) -> None:
    answer = asked(server, {"format": "csv", "columns": ["price"]})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert list(rows[0]) == ["query", "rank", "score", "product", "image", "confidence", "price"]
    assert rows[0]["price"].endswith(".50") and rows[0]["image"].startswith("/v1/items/")


def test_a_batch_is_answered_line_by_line_in_order(server: Running) -> None:
    photos = sorted((SAMPLE / "queries").glob("*/*.jpg"))[:30]
    parts = [("image", (f"{number}.jpg", one.read_bytes())) for number, one in enumerate(photos)]
    parts.insert(7, ("image", ("broken.jpg", b"no photo")))
    answer = post(server, "/v1/search/batch", params={"top_k": 1}, files=parts)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["query"] for line in lines] == [name for _, (name, _) in parts]
    assert lines[7]["error"] == "not an image in a supported format"
    single = [server.search(one, top_k=1)["hits"][0] for one in photos[:3]]
    assert [line["hits"][0] for line in lines[:3]] == single


def test_each_object_of_a_photo_has_a_line(server: Running, storefront: Path, tmp_path: Path) -> None:
    shelf = Image.new("RGB", (600, 300), "white")
    for place, shot in enumerate(sorted((SAMPLE / "queries").glob("*/*.jpg"))[:20:10]):
        with Image.open(shot) as image:
            shelf.paste(image.resize((260, 260)), (20 + 300 * place, 20))
    shelf.save(tmp_path / "shelf.jpg", quality=95)
    parts = [("image", ("shelf.jpg", (tmp_path / "shelf.jpg").read_bytes()))]
    lines = post(server, "/v1/search/batch", params={"crop": "each", "top_k": 1}, files=parts).text.splitlines()
    done = process("query", tmp_path / "shelf.jpg", "--crop", "each", "-k", 1, "--format", "jsonl", cwd=storefront)
    expected = [json.loads(line) for line in done.stdout.splitlines()]
    assert [json.loads(line)["crop"] for line in lines] == [answer["crop"] for answer in expected]


def test_photos_are_encoded_again(server: Running) -> None:
    hit = asked(server, {"top_k": 1}).json()["hits"][0]
    with server.client() as client:
        for size, most in (("photo", 1280), ("thumbnail", 320)):
            answer = client.get(hit["image"].replace("/photo?", f"/{size}?"))
            assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
            assert "immutable" in answer.headers["cache-control"]
            with Image.open(io.BytesIO(answer.content)) as image:
                assert max(image.size) <= most and not image.getexif()
        assert client.get("/v1/items/99999/photo").status_code == 404
        assert client.get(f"/v1/items/{1 << 70}/photo").status_code == 404
        assert client.get("/v1/items/1/other").status_code == 400


def test_a_product_with_its_images(server: Running) -> None:
    with server.client() as client:
        name = asked(server, {"top_k": 1}).json()["hits"][0]["product"]
        found = client.get(f"/v1/products/{name}").json()
        assert found["product"] == name and found["count"] == len(found["images"]) == 5
        assert found["columns"]["title"] == name.replace("-", " ").title()
        assert client.get(found["images"][0]["image"]).status_code == 200
        assert client.get("/v1/products/nothing").status_code == 404
        reason = client.get("/v1/products/two%2Fparts%0Aand%20lines").json()["error"]
        assert reason == "the index has no product two/parts\nand lines"


def test_the_index_describes_itself(server: Running) -> None:
    with server.client() as client:
        (found,) = client.get("/v1/index").json()["indexes"]
    assert (found["images"], found["backbone"], found["kind"]) == (100, "descriptor", "Flat")
    columns = {column["name"]: column for column in found["columns"]}
    assert list(columns) == ["category", "title", "price"]
    assert columns["price"]["kind"] == "number" and columns["price"]["least"] < columns["price"]["most"]
    assert "mug" in columns["category"]["values"] and len(columns["title"]["values"]) == 20


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"top_k": 0}, 400, "top_k"),
        ({"top_k": "many"}, 400, "top_k"),
        ({"topk": 3}, 400, "unknown option topk"),
        ({"where": "price < 'cheap'"}, 400, "--where"),
        ({"where": "1; drop table items"}, 400, "--where"),
        ({"index": "other"}, 400, "unknown index"),
        ({"columns": ["colour"]}, 400, "colour"),
        ({"minus": ["/etc/passwd"]}, 400, "/etc/passwd"),
        ({"wrong": ["id:99999"]}, 400, "id:99999"),
        ({"crop": "5000,5000,10,10"}, 422, "outside"),
        ({"crop": "each"}, 400, "crop=each gives several answers"),
        ({"url": "http://127.0.0.1/"}, 400, "one of them"),
    ],
)
def test_wrong_requests_are_named(server: Running, parameters: dict[str, Any], status: int, message: str) -> None:
    answer = asked(server, parameters)
    assert answer.status_code == status and message in answer.json()["error"]
    assert list(answer.json()) == ["schema", "error", "hint", "exit_code"]


def test_wrong_bodies_are_named(server: Running) -> None:
    kind = {"content-type": "image/jpeg"}
    assert post(server, content=b"no photo", headers=kind).status_code == 422
    assert post(server, content=b"", headers=kind).status_code == 400
    assert post(server, content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert post(server, content=b"x", headers={"content-type": "text/html"}).status_code == 415
    assert post(server, files={"photo": b"x"}).status_code == 400
    assert (
        post(server, json={"url": "https://example.com/a.jpg"}).json()["hint"].startswith("start it with --allow-urls")
    )
    large = encoded(Image.new("1", (9000, 9000)))
    assert post(server, content=large, headers=kind).status_code == 413
    with server.client() as client:
        assert client.get("/v1/search").status_code == 405 and client.get("/nothing").status_code == 404


def test_answers_fit_the_schema_of_openapi(server: Running) -> None:
    from jsonschema import Draft202012Validator

    with server.client() as client:
        document = client.get("/openapi.json").json()
        page = client.get("/docs")
    assert page.status_code == 200 and "/v1/search/batch" in page.text and "<script" not in page.text
    described = document["paths"]["/v1/search"]["post"]
    names = {parameter["name"] for parameter in described["parameters"]}
    assert {"where", "top_k", "right", "wrong", "min_confidence"} <= names
    answer = asked(server, {"top_k": 2}).json()
    Draft202012Validator(described["responses"]["200"]["content"]["application/json"]["schema"]).validate(answer)
    answer.pop("index")
    Draft202012Validator(schema("query_line")).validate(answer)


def test_where_a_photo_and_an_image_agree(server: Running) -> None:
    hit = asked(server, {"top_k": 1, "by": "image"}).json()["hits"][0]
    kind = {"content-type": "image/jpeg"}
    found = post(server, "/v1/match", params={"item": hit["id"]}, content=PHOTO.read_bytes(), headers=kind).json()
    assert found["cosine"] == pytest.approx(hit["cosine"], abs=1e-3)
    for side in (found["query"], found["item"]):
        assert len(side["values"]) == side["rows"] * side["columns"]
        assert sum(side["values"]) == pytest.approx(found["cosine"], abs=2e-3)
        left, top, width, height = side["box"]
        assert 0 <= left < left + width <= 1.0001 and 0 <= top < top + height <= 1.0001
    gone = post(server, "/v1/match", params={"item": 99999}, content=PHOTO.read_bytes(), headers=kind)
    assert gone.status_code == 404 and post(server, "/v1/match", content=b"", headers=kind).status_code == 400


def test_health_and_numbers(server: Running) -> None:
    with server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        before = client.get("/metrics").text
        asked(server, {})
        after = client.get("/metrics").text

    def photos(text: str) -> float:
        return float(next(line for line in text.splitlines() if line.startswith("dmlcli_photos_total")).split()[1])

    assert photos(after) == photos(before) + 1 and 'dmlcli_index_images{index="' in after


def test_several_indexes_by_name_and_paths_on_request(mission: Mission, storefront: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for number in range(3):
        (few / f"thing-{number}").mkdir(parents=True)
        photo(number, size=(200, 160)).save(few / f"thing-{number}" / "1.png")
    dmlcli.index(few, model=mission.workspace / "model", workspace=tmp_path / "w")
    names = ("--index", f"shop={storefront / '.dmlcli' / 'index'}", "--index", tmp_path / "w" / "index", "--show-paths")
    with running(tmp_path, *names) as server:
        with server.client() as client:
            assert [one["name"] for one in client.get("/v1/index").json()["indexes"]] == ["shop", "index"]
        hit = server.search(few / "thing-1" / "1.png", index="index", top_k=1)["hits"][0]
        assert hit["product"] == "thing-1" and Path(hit["path"]).samefile(few / "thing-1" / "1.png")
        with server.client() as client:
            assert "index=index" in hit["image"] and client.get(hit["image"]).status_code == 200
