"""The page in a real browser: every way in, every way to look at an answer, for every person."""

import csv
import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import SAMPLE
from tests.server.running import Running, running
from tests.server.test_guards import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
SHOTS = sorted((SAMPLE / "queries").glob("*/1.jpg"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
DROP = """async ([name, data]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, {type: 'image/jpeg'}));
  return files;
}"""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser: "Browser", server: Running) -> "Iterator[Page]":
    """The page of the shop; an error in its console fails the test."""
    yield from opened(browser, server.url)


def opened(browser: "Browser", url: str, **settings: Any) -> "Iterator[Page]":
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
    found = context.new_page()
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    found.goto(url)
    wait(found, "document.getElementById('about').textContent !== ''")
    yield found
    context.close()
    assert not wrong


def choose(page: "Page", *shots: Path) -> None:
    """Choose photos, and wait for the answer to the last one."""
    page.set_input_files("#file", list(shots or SHOTS[:1]))
    answered(page)


def wait(page: "Page", expression: str, given: object = None) -> None:
    """Wait until an expression is true; Playwright's own way needs eval, which the policy of the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(expression, given):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def answered(page: "Page") -> None:
    wait(
        page,
        "document.getElementById('results').getAttribute('aria-busy') === 'false'"
        " && !document.getElementById('bar').hidden",
    )


def products(page: "Page") -> list[str]:
    return page.locator(".product").all_text_contents()


def data_of(photo: Path) -> str:
    import base64

    return base64.b64encode(photo.read_bytes()).decode()


def test_a_photo_is_dropped(page: "Page", server: Running) -> None:
    transfer = page.evaluate_handle(DROP, ["shot.jpg", data_of(SHOTS[0])])
    page.dispatch_event("#drop", "dragenter", {"dataTransfer": transfer})
    assert "over" in (page.get_attribute("#drop", "class") or "")
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    answered(page)
    assert products(page) == [hit["product"] for hit in server.search(SHOTS[0])["hits"]]
    assert page.text_content("#name") == "shot.jpg" and page.locator(".open img").first.evaluate("i => i.src")
    wait(page, "[...document.querySelectorAll('.open img')].slice(0, 4).every(image => image.naturalWidth)")


def test_a_photo_is_pasted(page: "Page") -> None:
    transfer = page.evaluate_handle(DROP, ["shot.jpg", data_of(SHOTS[1])])
    page.evaluate("files => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: files}))", transfer)
    answered(page)
    assert len(products(page)) == 10


def test_the_camera_takes_a_photo(page: "Page") -> None:
    page.click("#camera")
    wait(page, "!document.getElementById('shutter').disabled")
    page.click("#shutter")
    answered(page)
    assert page.text_content("#name") == "camera.jpg" and len(products(page)) == 10
    assert page.evaluate("document.getElementById('video').srcObject") is None  # the camera is off again


def test_something_else_is_not_taken(page: "Page", tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    page.set_input_files("#file", [tmp_path / "notes.txt"])
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error") == "This is not a photo."
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    page.set_input_files("#file", [tmp_path / "broken.jpg"])
    wait(page, "document.getElementById('error').textContent.startsWith('Not an image')")


def test_a_part_of_the_photo_is_searched(page: "Page", server: Running) -> None:
    choose(page)
    frame = page.locator("#canvas").bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + 0.25 * frame["width"], frame["y"] + 0.25 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.75 * frame["width"], frame["y"] + 0.75 * frame["height"], steps=4)
    with page.expect_request(lambda request: "crop=" in request.url):
        page.mouse.up()
    answered(page)
    part = server.search(SHOTS[0], crop="25%,25%,50%,50%")["hits"]
    assert products(page)[:3] == [hit["product"] for hit in part][:3]
    page.click("#whole")
    wait(page, "document.getElementById('whole').hidden")
    answered(page)
    assert products(page) == [hit["product"] for hit in server.search(SHOTS[0])["hits"]]


def test_a_part_is_chosen_with_the_keyboard(page: "Page") -> None:
    choose(page)
    page.focus("#box")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    assert page.get_attribute("#box", "aria-valuetext") == "left 15.0%, top 15.0%, 75.0% wide, 80.0% high"
    with page.expect_request(lambda request: "crop=15.00%25%2C15.00%25%2C75.00%25%2C80.00%25" in request.url):
        page.keyboard.press("Enter")
    with page.expect_request(lambda request: "/v1/search" in request.url and "crop" not in request.url):
        page.keyboard.press("Delete")


def test_a_filter_from_columns_and_as_text(page: "Page") -> None:
    choose(page)
    page.select_option("#column", "category")
    page.fill("#value", "mug")
    with page.expect_response(lambda response: "where=" in response.url):
        page.click("#add")
    answered(page)
    assert page.input_value("#where") == "\"category\" = 'mug'"
    assert products(page) and all(name.startswith("mug") for name in products(page))
    page.select_option("#column", "price")
    page.select_option("#comparison", "<")
    page.fill("#value", "4")
    page.click("#add")
    page.wait_for_selector("#none:not([hidden])")
    assert page.input_value("#where").endswith('and "price" < 4')
    assert page.text_content("#none") == "No image satisfies the filters."
    page.fill("#where", "colour = 'red'")
    page.press("#where", "Enter")
    wait(page, "document.getElementById('where-error').textContent.includes('colour')")


def test_marks_are_searched_with(page: "Page") -> None:
    choose(page)
    first = products(page)[0]
    page.click(".hit:nth-child(1) [data-mark=wrong]")
    page.click(".hit:nth-child(3) [data-mark=right]")
    assert page.get_attribute(".hit:nth-child(1) [data-mark=wrong]", "aria-pressed") == "true"
    third = products(page)[2]
    with page.expect_response(lambda response: "wrong=" in response.url and "right=" in response.url):
        page.click("#again")
    answered(page)
    wait(page, "name => document.querySelector('.product').textContent === name", third)
    assert first not in products(page)
    page.click("#clear")
    wait(page, "name => document.querySelector('.product').textContent === name", first)


def test_query_and_hit_side_by_side(page: "Page") -> None:
    choose(page)
    page.click(".hit:nth-child(2) .open")
    assert (page.text_content("#compare-title") or "").startswith(f"2. {products(page)[1]}")
    wait(page, "document.getElementById('compare-hit').naturalWidth > 0")
    assert "price" in (page.text_content("#compare-facts") or "")
    page.click("#like")
    wait(page, "document.querySelectorAll('#visits li').length === 2")
    assert page.text_content("#name") == products(page)[0]


def test_earlier_searches_come_back(page: "Page") -> None:
    choose(page, SHOTS[0])
    first = products(page)
    choose(page, SHOTS[5])
    wait(page, "document.querySelectorAll('#visits li').length === 2")
    assert products(page) != first
    page.click("#visits li:nth-child(2) button")
    wait(page, "name => document.querySelector('.product').textContent === name", first[0])
    assert products(page) == first
    assert page.get_attribute("#visits li:nth-child(2) button", "aria-current") == "true"


def test_several_photos_are_several_searches_or_one(page: "Page") -> None:
    choose(page, *SHOTS[:3])
    wait(page, "document.querySelectorAll('#visits li').length === 3")
    page.check("#fuse")
    page.set_input_files("#file", SHOTS[:2])
    wait(page, "document.getElementById('name').textContent === '1.jpg and 1 more'")
    answered(page)


def test_the_answer_is_downloaded_as_csv(page: "Page") -> None:
    choose(page)
    with page.expect_download() as begun:
        page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(Path(begun.value.path()).read_text(encoding="utf-8"))))
    assert [row["product"] for row in rows] == products(page) and "price" in rows[0]


def test_all_of_it_with_the_keyboard(page: "Page") -> None:
    choose(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    name = page.evaluate("document.activeElement.querySelector('.product').textContent")
    assert name == products(page)[1]
    page.keyboard.press("w")
    assert page.get_attribute(".hit:nth-child(2) [data-mark=wrong]", "aria-pressed") == "true"
    assert page.evaluate("document.activeElement.className") == "open"
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('compare').open")
    page.keyboard.press("Escape")
    with page.expect_request(lambda request: "wrong=" in request.url):
        page.keyboard.press("s")
    answered(page)
    page.keyboard.press("?")
    assert page.evaluate("document.getElementById('keys').open")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "where"
    for _ in range(60):  # from there, Tab leads through everything that can be used
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.mark === 'right'"):
            return
    raise AssertionError("Tab does not reach the hits")


@pytest.mark.parametrize("width", [360, 320, 768])
def test_a_narrow_screen_needs_no_scrolling_sideways(browser: "Browser", server: Running, width: int) -> None:
    for page in opened(browser, server.url, viewport={"width": width, "height": 740}, has_touch=True, is_mobile=True):
        choose(page)
        page.click(".hit:nth-child(1) [data-mark=right]")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for button in page.locator("button:visible").all():
            box = button.bounding_box()
            assert box is not None and (box["height"] >= 32 or "plain" in (button.get_attribute("class") or ""))


def test_dark_and_print(browser: "Browser", server: Running) -> None:
    for page in opened(browser, server.url, color_scheme="dark"):
        choose(page)
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(22, 22, 24)"
        page.emulate_media(media="print")
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        assert page.locator("#image").is_visible() and page.locator(".open img").first.is_visible()
        for control in ("#choose", "#filters", ".marks", "#csv"):
            assert not page.locator(control).first.is_visible()


def test_names_are_text_whatever_they_hold(page: "Page") -> None:
    hit = {
        "rank": 1, "score": 0.5, "cosine": 0.5, "product": "<img src=x onerror=alert(1)>‮\nx" + "y" * 300, "id": "1",
        "image": "/v1/items/1/photo?v=1", "category": "'\"><script>", "columns": {"<b>": "<i>"}, "confidence": None,
    }  # fmt: skip
    answer = {"schema": 1, "query": "x", "index": "x", "hits": [hit], "match": None}
    page.route("**/v1/search?*", lambda route: route.fulfill(json=answer))
    choose(page)
    assert products(page) == [hit["product"]] and page.locator(".hit script, .hit b, .hit i").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_server_that_has_gone_is_named(page: "Page") -> None:
    page.route("**/v1/search?*", lambda route: route.abort())
    page.set_input_files("#file", SHOTS[:1])
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error") == "The server does not answer. Is it still running?"
    page.unroute("**/v1/search?*")
    choose(page)
    assert page.locator("#error").is_hidden()


def test_a_token_is_asked_for_once(browser: "Browser", storefront: Path) -> None:
    with running(storefront, "--token", TOKEN) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.fill("#token", "wrong")
        page.press("#token", "Enter")
        wait(page, "document.getElementById('login-error').textContent.includes('wrong')")
        page.fill("#token", TOKEN)
        page.press("#token", "Enter")
        wait(page, "document.getElementById('about').textContent !== ''")
        choose(page)
        wait(page, "document.querySelector('.open img').naturalWidth > 0")
        context.close()


def test_the_page_loads_nothing_from_elsewhere(browser: "Browser", server: Running) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    choose(page)
    page.goto(f"{server.url}/docs")
    context.close()
    assert asked and all(url.startswith((server.url, "blob:", "data:")) for url in asked), asked


def test_axe_finds_nothing_serious(browser: "Browser", server: Running) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(page: "Page", state: str) -> None:
        page.wait_for_timeout(200)  # until colors have faded over
        found = axe.run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        where = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in serious]
        assert not serious, (state, where)

    for scheme in ("light", "dark"):
        # axe puts its script into the page, which the policy of the page forbids
        for page in opened(browser, server.url, color_scheme=scheme, bypass_csp=True):
            check(page, f"{scheme}, empty")
            choose(page)
            page.click(".hit:nth-child(2) [data-mark=wrong]")
            check(page, f"{scheme}, answer")
            page.click(".hit:nth-child(1) .open")
            check(page, f"{scheme}, comparison")
            page.keyboard.press("Escape")
            page.click("#help")
            check(page, f"{scheme}, keys")
            page.keyboard.press("Escape")
            page.fill("#where", "nothing")
            page.press("#where", "Enter")
            wait(page, "document.getElementById('where-error').textContent !== ''")
            check(page, f"{scheme}, error")
    for page in opened(browser, server.url, viewport={"width": 360, "height": 740}, bypass_csp=True):
        choose(page)
        check(page, "phone")
        page.goto(f"{server.url}/docs")
        check(page, "docs")
