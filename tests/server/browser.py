"""The page in a real browser: opened, asked, and looked at."""

import base64
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import SAMPLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOTS = sorted((SAMPLE / "queries").glob("*/1.jpg"))
BUSY = "document.getElementById('results').getAttribute('aria-busy') === 'true'"
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
_CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
_TRANSFER = """files => {
  const transfer = new DataTransfer();
  for (const [name, type, data] of files) {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, {type}));
  }
  return transfer;
}"""


@contextmanager
def chromium(film: Path) -> "Iterator[Browser]":
    """Start Chromium without a window, with a camera that sees a photo; skips where it is not installed.

    Args:
        film: is written: what the camera sees.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if _CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    film.write_bytes(SHOTS[0].read_bytes() * 3)  # a JPEG for each picture
    flags = [*_FLAGS, *_CAMERA, f"--use-file-for-fake-video-capture={film}"]
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=_CHROMIUM, args=flags)
        yield found
        found.close()


@contextmanager
def opened(browser: "Browser", url: str, **settings: Any) -> "Iterator[Page]":
    """Open the page; a script that fails, or breaks the policy of the page, fails the test."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
    found = context.new_page()
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    found.goto(url)
    wait(found, "document.getElementById('about').textContent !== '' || document.getElementById('login').open")
    yield found
    context.close()
    assert not wrong


def wait(page: "Page", expression: str, given: object = None) -> None:
    """Wait until an expression is true; Playwright's own way needs eval, which the policy of the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(expression, given):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def answered(page: "Page") -> None:
    """Wait for the answer to the search that is shown."""
    wait(page, f"!document.getElementById('results').hidden && !({BUSY})")


def choose(page: "Page", *shots: Path) -> None:
    """Choose photos, and wait for the answer to the first one."""
    page.set_input_files("#file", list(shots or SHOTS[:1]))
    answered(page)


def transfer(page: "Page", *photos: Path, type: str = "image/jpeg") -> Any:
    """What a drop or a paste of files brings."""
    files = [[photo.name, type, base64.b64encode(photo.read_bytes()).decode()] for photo in photos]
    return page.evaluate_handle(_TRANSFER, files)


def drop(page: "Page", *photos: Path) -> None:
    """Drop files as the system does: over the page, from outside."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(photo) for photo in photos], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    session.detach()


def searched(page: "Page", act: Callable[[], object]) -> dict[str, list[str]]:
    """Do something, wait for the answer, and return the options that the server was asked with."""
    from urllib.parse import parse_qs, urlsplit

    with page.expect_request(re.compile(r"/v1/search\?")) as asked:
        act()
    answered(page)
    return parse_qs(urlsplit(asked.value.url).query)


def press(page: "Page", *keys: str) -> None:
    """Press keys, one after the other."""
    for key in keys:
        page.keyboard.press(key)


def products(page: "Page") -> list[str]:
    """The names of the hits that are shown."""
    return page.locator("#hits .product").all_text_contents()


def names(answer: dict[str, Any]) -> list[str]:
    """The names of the hits of the API."""
    return [hit["product"] for hit in answer["hits"]]


def text(page: "Page", selector: str) -> str:
    """What an element shows, with plain spaces."""
    return (page.text_content(selector) or "").replace("\u00a0", " ")
