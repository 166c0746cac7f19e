"""The page in a real browser: every way in, and everything that can be done with an answer."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.server.browser import (
    SHOTS,
    answered,
    choose,
    drop,
    names,
    opened,
    press,
    products,
    searched,
    text,
    transfer,
    wait,
)
from tests.server.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser: "Browser", server: Running) -> "Iterator[Page]":
    """The page of the shop."""
    with opened(browser, server.url) as found:
        yield found


def test_a_photo_is_dropped(page: "Page", server: Running) -> None:
    drop(page, SHOTS[0])
    answered(page)
    expected = server.search(SHOTS[0])
    assert products(page) == names(expected) and text(page, "#summary") == "10 products"
    first = expected["hits"][0]
    assert text(page, "#live").startswith(f"10 products, first {first['product']}, ") and "%" in text(page, "#live")
    assert text(page, "#name") == "1.jpg" and page.evaluate("document.getElementById('image').naturalWidth") > 0
    wait(page, "[...document.querySelectorAll('.open img')].slice(0, 4).every(image => image.naturalWidth)")


def test_a_drag_over_the_page_is_shown(page: "Page") -> None:
    files = transfer(page, SHOTS[0])
    page.dispatch_event("#drop", "dragenter", {"dataTransfer": files})
    assert page.evaluate("document.body.classList.contains('over')")
    page.dispatch_event("#drop", "dragleave", {"dataTransfer": files})
    assert not page.evaluate("document.body.classList.contains('over')")


def test_a_photo_is_pasted(page: "Page", server: Running) -> None:
    files = transfer(page, SHOTS[1])
    page.evaluate("files => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: files}))", files)
    answered(page)
    assert products(page) == names(server.search(SHOTS[1]))


def test_the_camera_takes_a_photo(page: "Page", server: Running) -> None:
    page.click("#camera")
    wait(page, "!document.getElementById('shutter').disabled")
    page.click("#shutter")
    answered(page)
    assert text(page, "#name") == "camera.jpg" and products(page)[0] == names(server.search(SHOTS[0]))[0]
    assert page.evaluate("document.getElementById('video').srcObject") is None  # the camera is off again


def test_another_camera_and_none(page: "Page") -> None:
    page.evaluate("""() => {
      const devices = navigator.mediaDevices;
      const open = devices.getUserMedia.bind(devices);
      devices.getUserMedia = wanted => { window.facing = wanted.video.facingMode; return open(wanted); };
      devices.enumerateDevices = async () => [{kind: 'videoinput'}, {kind: 'audioinput'}, {kind: 'videoinput'}];
    }""")
    page.click("#camera")
    wait(page, "window.facing === 'environment'")
    page.click("#turn")
    wait(page, "window.facing === 'user' && !document.getElementById('shutter').disabled")
    page.keyboard.press("Escape")
    page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); };
    }""")
    page.click("#camera")
    wait(page, "document.getElementById('camera-error').textContent.startsWith('No camera was found.')")
    assert page.locator("#shutter").is_disabled()


def test_a_phone_without_access_to_the_camera_is_asked_for_a_file(page: "Page") -> None:
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    with page.expect_file_chooser() as asked:
        page.click("#camera")
    asked.value.set_files(SHOTS[0])
    answered(page)
    assert len(products(page)) == 10


def test_a_part_of_the_photo_is_searched(page: "Page", server: Running) -> None:
    choose(page)
    frame = page.locator("#canvas").bounding_box()
    assert frame is not None

    def drag(*points: float) -> None:
        x, y, to_x, to_y = points
        page.mouse.move(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])
        page.mouse.down()
        page.mouse.move(frame["x"] + to_x * frame["width"], frame["y"] + to_y * frame["height"], steps=4)
        page.mouse.up()

    def crop(*points: float) -> list[float]:
        asked = searched(page, lambda: drag(*points))["crop"][0]
        return [float(share.rstrip("%")) for share in asked.split(",")]

    assert crop(0.25, 0.25, 0.75, 0.75) == pytest.approx([25, 25, 50, 50], abs=0.6)
    part = server.search(SHOTS[0], crop="25%,25%,50%,50%")
    assert products(page)[:2] == names(part)[:2]
    assert crop(0.75, 0.75, 0.9, 0.9) == pytest.approx([25, 25, 65, 65], abs=1.2)  # by its corner
    assert crop(0.5, 0.5, 0.6, 0.4) == pytest.approx([35, 15, 65, 65], abs=1.2)  # moved
    assert "crop" not in searched(page, lambda: page.click("#whole"))
    assert products(page) == names(server.search(SHOTS[0]))


def test_the_object_of_a_cluttered_photo_is_found(page: "Page", server: Running, tmp_path: Path) -> None:
    with server.client() as client:  # a photo of the catalog, small in a corner
        data = client.get(server.search(SHOTS[0])["hits"][0]["image"]).content
    shelf = Image.new("RGB", (400, 400), "#808080")
    shelf.paste(Image.open(io.BytesIO(data)).resize((200, 200)), (200, 0))
    shelf.save(tmp_path / "shelf.jpg", quality=95)
    choose(page, tmp_path / "shelf.jpg")
    found = server.search(tmp_path / "shelf.jpg", crop="auto")
    assert found["crop"] is not None
    match = server.search(tmp_path / "shelf.jpg")["match"]  # of the whole photo
    is_unsure = match is not None and match < 0.5
    assert page.locator("#unsure").is_visible() == is_unsure == ("“Find the object”" in text(page, "#unsure"))
    assert searched(page, lambda: page.click("#find"))["crop"] == ["auto"]
    assert products(page) == names(found)
    box, frame = page.locator("#box").bounding_box(), page.locator("#canvas").bounding_box()
    assert box is not None and frame is not None
    left = (box["x"] - frame["x"]) / frame["width"] * 400
    assert left == pytest.approx(found["crop"][0], abs=4) and page.locator("#whole").is_visible()
    assert "crop" not in searched(page, lambda: page.click("#whole"))


def test_a_part_is_chosen_with_the_keyboard(page: "Page") -> None:
    choose(page)
    page.focus("#box")
    assert page.locator("#crop-keys").is_visible()
    press(page, "ArrowRight", "ArrowRight", "Shift+ArrowLeft", "ArrowUp")
    assert page.get_attribute("#box", "aria-valuetext") == "left 20.0%, top 10.0%, 65.0% wide, 70.0% high"
    assert searched(page, lambda: press(page, "Enter"))["crop"] == ["20.00%,10.00%,65.00%,70.00%"]
    assert "crop" not in searched(page, lambda: press(page, "Delete"))


def test_a_filter_is_put_together_from_columns(page: "Page", server: Running) -> None:
    choose(page)
    page.click("#filter-button")
    page.select_option("#column", "category")
    assert "mug" in page.locator("#values option").evaluate_all("all => all.map(one => one.value)")
    page.fill("#value", "mug")
    assert searched(page, lambda: page.click("#add"))["where"] == ["category = 'mug'"]
    assert products(page) == names(server.search(SHOTS[0], where="category = 'mug'"))
    page.select_option("#column", "price")
    page.select_option("#comparison", "<")
    page.fill("#value", "4")
    assert searched(page, lambda: press(page, "Enter"))["where"] == ["category = 'mug' and price < 4"]
    assert text(page, "#none") == "No image satisfies the filters." and not products(page)
    assert "where" not in searched(page, lambda: page.click("#no-filter"))


@pytest.mark.parametrize(
    ("column", "comparison", "value", "where"),
    [
        ("title", "contains", "O'Neil 50%", "title like '%O''Neil 50\\%%' escape '\\'"),
        ("title", "starts", "Mug", "title like 'Mug%'"),
        ("category", "<>", "mug", "(category <> 'mug' or category is null)"),
        ("price", ">=", "12.5", "price >= 12.5"),
        ("price", "is not null", None, "price is not null"),
        ("product", "contains", "satchel", "product like '%satchel%'"),
    ],
)
def test_conditions_are_sql(page: "Page", column: str, comparison: str, value: str | None, where: str) -> None:
    choose(page)
    page.click("#filter-button")
    page.select_option("#column", column)
    page.select_option("#comparison", comparison)
    if value is not None:
        page.fill("#value", value)
    assert searched(page, lambda: page.click("#add"))["where"] == [where]
    assert text(page, "#where-error") == ""


def test_a_filter_that_is_typed_wrong_is_explained_beside_it(page: "Page") -> None:
    choose(page)
    page.keyboard.press("/")
    page.keyboard.type("colour = 'red'")
    searched(page, lambda: press(page, "Enter"))
    assert text(page, "#where-error").startswith("Unknown column colour. The columns are id,")
    assert page.get_attribute("#where", "aria-invalid") == "true" and len(products(page)) == 10
    page.fill("#where", "category = 'mug' or category = 'bowl'")
    searched(page, lambda: press(page, "Enter"))
    page.select_option("#column", "price")
    page.fill("#value", "12.5")
    asked = searched(page, lambda: page.click("#add"))
    assert asked["where"] == ["(category = 'mug' or category = 'bowl') and price = 12.5"]


def test_marks_are_searched_with_and_removed(page: "Page") -> None:
    choose(page)
    first, third = products(page)[0], products(page)[2]
    page.click(".hit:nth-child(1) [data-mark=wrong]")
    page.click(".hit:nth-child(3) [data-mark=right]")
    assert page.get_attribute(".hit:nth-child(1) [data-mark=wrong]", "aria-pressed") == "true"
    asked = searched(page, lambda: page.click("#again"))
    assert asked["wrong"] == [first] and asked["right"] == [third]
    assert products(page)[0] == third and first not in products(page)
    page.click("#marked .wrong")  # it is not among the hits any more, but among the marks
    assert "wrong" not in searched(page, lambda: page.click("#again")) and first in products(page)
    assert "right" not in searched(page, lambda: page.click("#clear")) and products(page)[0] == first
    assert page.locator("#marks").is_hidden()


def test_query_and_hit_are_compared(page: "Page") -> None:
    choose(page)
    hits = products(page)
    page.click(".hit:nth-child(2) .open")
    assert text(page, "#compare-title").startswith(f"2. {hits[1]}, ")
    assert re.search(r"price\d+\.50cosine", text(page, "#compare-facts"))  # as the catalog writes it
    assert page.locator("#heat").is_visible()
    wait(page, "document.getElementById('compare-hit').naturalWidth && document.getElementById('compare-query').width")
    page.keyboard.press("ArrowRight")
    assert text(page, "#compare-title").startswith(f"3. {hits[2]}, ")
    page.keyboard.press("w")
    assert page.get_attribute("#compare-wrong", "aria-pressed") == "true"
    wait(page, "document.querySelectorAll('#other-photos button').length === 5")
    before = page.get_attribute("#compare-hit", "src")
    page.click("#other-photos button:not([aria-current=true])")
    assert page.get_attribute("#compare-hit", "src") != before
    page.keyboard.press("Escape")
    wait(page, "name => document.activeElement.querySelector('.product')?.textContent === name", hits[2])
    assert page.get_attribute(".hit:nth-child(3) [data-mark=wrong]", "aria-pressed") == "true"
    page.keyboard.press("Enter")
    searched(page, lambda: page.click("#like"))
    assert text(page, "#name") == hits[2] and products(page)[0] == hits[2]


def test_the_csv_file_is_that_of_the_server(page: "Page") -> None:
    choose(page)
    searched(page, lambda: page.select_option("#top", "5"))
    with page.expect_download() as begun:
        page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(Path(begun.value.path()).read_text(encoding="utf-8"))))
    assert [row["product"] for row in rows] == products(page) and len(rows) == 5 and "price" in rows[0]
    assert begun.value.suggested_filename == "hits.csv"


def test_all_of_it_with_the_keyboard(page: "Page", server: Running) -> None:
    with page.expect_file_chooser() as asked:
        for _ in range(3):  # the keys, the photo, and then the file is asked for
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "choose":
                page.keyboard.press("Enter")
                break
    asked.value.set_files(SHOTS[0])
    answered(page)
    press(page, "ArrowRight", "ArrowRight")
    assert page.evaluate("document.activeElement.querySelector('.product').textContent") == products(page)[1]
    press(page, "w", "ArrowDown", "r")
    right = page.evaluate("document.activeElement.querySelector('.product').textContent")
    press(page, "Enter")
    assert page.evaluate("document.getElementById('compare').open")
    press(page, "Escape")
    found = searched(page, lambda: press(page, "s"))
    assert found["right"] == [right] and found["wrong"] == [names(server.search(SHOTS[0]))[1]]
    press(page, "?")
    assert page.evaluate("document.getElementById('keys').open")
    press(page, "Escape", "/")
    assert page.evaluate("document.activeElement.id") == "where"
    reached = set()
    for _ in range(60):  # from there, Tab leads to everything else
        press(page, "Tab")
        reached.add(page.evaluate("document.activeElement.dataset.mark || document.activeElement.id"))
    assert {"again", "clear", "top", "csv", "right", "wrong"} <= reached
