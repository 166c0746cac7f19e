"""The page in a real browser: earlier searches, errors, tokens, and how it looks to every person."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dmlcli
from tests.conftest import Mission
from tests.server.browser import SHOTS, answered, choose, names, opened, press, products, searched, text, wait
from tests.server.conftest import write_table
from tests.server.running import Running, running
from tests.server.test_guards import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.slow
SEARCHES = "document.querySelectorAll('#searches li').length"


@pytest.fixture
def page(browser: "Browser", server: Running) -> "Iterator[Page]":
    """The page of the shop."""
    with opened(browser, server.url) as found:
        yield found


def test_earlier_searches_come_back_as_they_were(page: "Page") -> None:
    choose(page, SHOTS[0])
    first = products(page)
    page.keyboard.press("/")
    page.keyboard.type("price > 10")
    searched(page, lambda: press(page, "Enter"))
    filtered = products(page)
    searched(page, lambda: page.click("#no-filter"))
    choose(page, SHOTS[5])
    page.click(".hit:nth-child(1) [data-mark=right]")
    assert products(page) != first
    page.click("#searches li:nth-child(2) button")
    assert products(page) == first and page.locator("#marks").is_hidden()
    assert page.get_attribute("#searches li:nth-child(2) button", "aria-current") == "true"
    page.fill("#where", "price > 10")
    searched(page, lambda: press(page, "Enter"))
    assert products(page) == filtered
    page.go_back()
    wait(page, "!document.getElementById('marks').hidden && document.getElementById('where').value === ''")
    page.go_back()
    wait(page, "document.getElementById('where').value === 'price > 10'")
    page.go_back()
    wait(page, "document.body.classList.contains('empty')")


def test_several_photos_are_several_searches_or_one(page: "Page", server: Running) -> None:
    choose(page, *SHOTS[:3])
    wait(page, f"{SEARCHES} === 3 && !document.querySelector('#searches .searching')")
    assert products(page) == names(server.search(SHOTS[0]))
    page.click("#searches li:nth-child(3) button")
    assert products(page) == names(server.search(SHOTS[2]))
    searched(page, lambda: page.check("#fuse"))
    with server.client() as client:
        parts = [("image", (shot.name, shot.read_bytes())) for shot in SHOTS[:3]]
        expected = client.post("/v1/search", files=parts).json()
    assert products(page) == names(expected) and text(page, "#name") == "1.jpg and 2 more"
    page.uncheck("#fuse")
    assert products(page) == names(server.search(SHOTS[0]))


def test_photos_wait_for_their_turn(page: "Page", server: Running) -> None:
    held: list[Route] = []
    page.route("**/v1/search?*", lambda route: route.continue_() if held else held.append(route))
    page.set_input_files("#file", SHOTS[:2])
    page.click("#searches li:nth-child(2) button")
    assert len(held) == 1 and text(page, "#summary") == "Searching \u2026" and page.locator(".waiting").count() == 8
    assert page.get_attribute("#searches li:nth-child(1) button", "aria-label") == "Search with 1.jpg, searching"
    held[0].continue_()
    answered(page)
    assert products(page) == names(server.search(SHOTS[1]))


def test_what_is_no_photo_is_rejected(page: "Page", tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    page.set_input_files("#file", [tmp_path / "notes.txt"])
    assert text(page, "#rejected") == "notes.txt is not a photo."
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    choose(page, tmp_path / "broken.jpg")
    assert text(page, "#error-text").startswith("Not an image") and page.locator("#none").is_hidden()
    (tmp_path / "large.jpg").write_bytes(bytes(21_000_000))
    choose(page, tmp_path / "large.jpg")
    assert text(page, "#error-text") == "The search with large.jpg has 21 MB."
    assert text(page, "#error-hint") == "This server takes up to 20 MB."


def test_a_server_that_is_gone_or_busy_is_asked_again(page: "Page", server: Running) -> None:
    page.route("**/v1/search?*", lambda route: route.abort())
    choose(page)
    assert text(page, "#error-text") == "The server does not answer."
    page.unroute("**/v1/search?*")
    statuses = [503, 429]
    full = {"schema": 1, "error": "the server is busy", "hint": "", "exit_code": 2}

    def busy(route: "Route") -> None:
        if statuses:
            route.fulfill(status=statuses.pop(), json=full, headers={"retry-after": "0"})
        else:
            route.continue_()

    page.route("**/v1/search?*", busy)
    page.click("#retry")
    wait(page, "document.getElementById('error').hidden")
    answered(page)
    assert products(page) == names(server.search(SHOTS[0])) and not statuses
    page.route("**/v1/index", lambda route: route.abort())
    page.reload()
    wait(page, "document.getElementById('error-text').textContent === 'The server does not answer.'")
    page.unroute("**/v1/index")
    page.click("#retry")
    wait(page, "document.getElementById('about').textContent !== ''")
    assert page.locator("#error").is_hidden()


def test_a_token_is_asked_for_once(browser: "Browser", storefront: Path) -> None:
    with running(storefront, "--token", TOKEN) as server, opened(browser, server.url) as page:
        page.fill("#token", "wrong")
        page.press("#token", "Enter")
        wait(page, "document.getElementById('login-error').textContent === 'The token is wrong.'")
        page.keyboard.press("Escape")
        assert page.evaluate("document.getElementById('login').open")
        page.fill("#token", TOKEN)
        page.press("#token", "Enter")
        wait(page, "document.getElementById('about').textContent !== ''")
        choose(page)
        wait(page, "document.querySelector('.open img').naturalWidth > 0")
        page.reload()
        wait(page, "document.getElementById('about').textContent !== ''")
        assert not page.evaluate("document.getElementById('login').open")


def test_addresses_of_photos_are_taken_where_the_server_fetches_them(
    browser: "Browser", storefront: Path, page: "Page"
) -> None:
    assert page.locator("#url-form").is_hidden()
    paste = """text => {
      const data = new DataTransfer();
      data.setData('text/plain', text);
      document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));
    }"""
    page.evaluate(paste, "https://example.com/mug.jpg")
    assert text(page, "#rejected").startswith("This server does not fetch addresses.")
    with running(storefront, "--allow-urls") as server, opened(browser, server.url) as other:
        other.fill("#url", "http://127.0.0.1/mug.jpg")
        other.press("#url", "Enter")
        answered(other)
        assert text(other, "#error-text") == "The URL leads to an address that is not public."
        assert text(other, "#name") == "http://127.0.0.1/mug.jpg" and other.locator("#canvas").is_hidden()


def test_several_indexes_are_searched_by_name(browser: "Browser", mission: Mission, storefront: Path) -> None:
    few = write_table(storefront / "few.csv", mission.images()[:10])
    dmlcli.index(few, model=mission.workspace / "model", workspace=storefront / "few")
    places = (f"all={storefront / '.dmlcli' / 'index'}", f"few={storefront / 'few' / 'index'}")
    with running(storefront, "--index", places[0], "--index", places[1]) as server, opened(browser, server.url) as page:
        choose(page)
        assert len(products(page)) == 10 and text(page, "#about").startswith("all: 100 images")
        asked = searched(page, lambda: page.select_option("#index", "few"))
        assert asked["index"] == ["few"] and len(products(page)) == 2
        wait(page, "document.querySelector('.open img').naturalWidth > 0")


def test_names_are_text_whatever_they_hold(browser: "Browser", mission: Mission, tmp_path: Path) -> None:
    product = '<img src=x onerror=alert(1)> "it\'s" \u202e\u0634\u0627\u064a\u202c ' + "y" * 200
    table = write_table(tmp_path / "odd.csv", mission.images()[:10])
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    for row in rows[1:6]:
        row[1] = product
    for row in rows[6:]:
        row[1] = "two\nlines <b>"
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    dmlcli.index(table, model=mission.workspace / "model", workspace=tmp_path / ".dmlcli")
    with running(tmp_path) as server, opened(browser, server.url, viewport={"width": 360, "height": 740}) as page:
        choose(page, mission.images()[0])
        assert products(page) == [product, "two\nlines <b>"] and page.locator("#hits :is(.product, dd) *").count() == 0
        page.click(".hit:nth-child(1) [data-mark=wrong]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.click(".hit:nth-child(1) .open")
        wait(page, "document.querySelectorAll('#other-photos button').length === 5")
        assert product in text(page, "#compare-title")


def test_where_it_matched_is_drawn_over_both(page: "Page") -> None:
    corner = {"rows": 2, "columns": 2, "values": [0.5, 0, 0, 0.1]}
    page.route("**/v1/match?*", lambda route: route.fulfill(json={"cosine": 0.6, "query": corner, "item": corner}))
    choose(page)
    page.click(".hit:nth-child(1) .open")
    with page.expect_request("**/v1/match?*") as asked:
        page.keyboard.press("h")
    assert "item=" in asked.value.url
    wait(page, "!document.getElementById('heat-hit').hidden")
    opacity = """([id, x, y]) => {
      const canvas = document.getElementById(id);
      return canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3];
    }"""
    for canvas in ("heat-query", "heat-hit"):
        assert page.evaluate(opacity, [canvas, 0.1, 0.1]) > 200 > 60 > page.evaluate(opacity, [canvas, 0.9, 0.1])
    assert "0.600" in text(page, "#compare-note")
    page.keyboard.press("h")
    assert page.locator("#heat-hit").is_hidden()
    page.unroute("**/v1/match?*")
    page.keyboard.press("h")  # with what the server says
    wait(page, "!document.getElementById('heat-hit').hidden")
    assert "0.600" not in text(page, "#compare-note")


@pytest.mark.parametrize("width", [360, 320, 768])
def test_a_narrow_screen_needs_no_scrolling_sideways(browser: "Browser", server: Running, width: int) -> None:
    size: Any = {"width": width, "height": 740}
    with opened(browser, server.url, viewport=size, has_touch=True, is_mobile=True) as page:
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert page.evaluate(fits) and page.evaluate("innerWidth") == width
        choose(page, *SHOTS[:2])
        page.click("#filter-button")
        page.click(".hit:nth-child(1) [data-mark=right]")
        assert page.evaluate(fits)
        again = page.locator("#again").bounding_box()
        assert again is not None and 0 < again["y"] < size["height"]  # at hand wherever the mark is
        for button in page.locator("button:visible").all():
            box = button.bounding_box()
            assert box is not None and box["height"] >= 32
        page.click(".hit:nth-child(1) .open")
        assert page.evaluate("document.getElementById('compare').scrollWidth <= innerWidth")


def test_dark_print_and_little_motion(browser: "Browser", server: Running) -> None:
    with opened(browser, server.url, color_scheme="dark", reduced_motion="reduce") as page:
        choose(page)
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(22, 22, 24)"
        assert page.evaluate("getComputedStyle(document.getElementById('hits')).transitionDuration") == "0s"
        page.emulate_media(media="print")
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        assert page.locator("#image").is_visible() and page.locator(".open img").last.is_visible()
        assert page.locator("button:visible:not(.open), select:visible, input:visible").count() == 0


def test_the_page_loads_nothing_from_elsewhere(browser: "Browser", server: Running) -> None:
    asked: list[str] = []
    with opened(browser, server.url) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        choose(page)
        page.click(".hit:nth-child(1) .open")
        page.goto(f"{server.url}/docs")
    assert len(asked) > 20 and all(url.startswith((server.url, f"blob:{server.url}")) for url in asked), asked
