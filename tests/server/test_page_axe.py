"""The page without serious findings of axe-core, in each of its states, light, dark and small."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.browser import SHOTS, choose, opened, press, searched, wait
from tests.server.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}


def walk(page: "Page", check: Callable[[str], None]) -> None:
    """Bring the page into each of its states."""
    check("empty")
    choose(page, *SHOTS[:2])
    check("answer")
    page.click(".hit:nth-child(2) [data-mark=wrong]")
    page.click(".hit:nth-child(3) [data-mark=right]")
    check("marks")
    page.focus("#box")
    searched(page, lambda: press(page, "ArrowLeft", "Enter"))
    check("part of the photo")
    page.click(".hit:nth-child(1) .open")
    wait(page, "document.querySelectorAll('#other-photos button').length > 1")
    check("comparison")
    page.keyboard.press("Escape")
    page.evaluate("document.getElementById('keys').showModal()")
    check("keys")
    page.keyboard.press("Escape")
    page.click("#camera")
    wait(page, "!document.getElementById('shutter').disabled")
    check("camera")
    page.keyboard.press("Escape")
    page.evaluate("document.getElementById('login').showModal()")
    check("token")
    page.evaluate("document.getElementById('login').close()")
    page.click("#filter-button")
    for name, where in (("wrong filter", "nothing"), ("no hit", "price < 0")):
        page.fill("#where", where)
        searched(page, lambda: press(page, "Enter"))
        check(name)
    page.route("**/v1/search?*", lambda route: route.abort())
    page.click("#no-filter")
    wait(page, "!document.getElementById('error').hidden")
    check("error")


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious(browser: "Browser", server: Running, look: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    serious: list[str] = []
    # axe puts its script into the page, which the policy of the page forbids
    with opened(browser, server.url, bypass_csp=True, **LOOKS[look]) as page:

        def check(state: str) -> None:
            page.wait_for_timeout(200)  # until colors have faded over
            found = [one for one in axe.run(page).response["violations"] if one["impact"] in ("serious", "critical")]
            serious.extend(f"{state}: {one['id']} {[node['html'][:120] for node in one['nodes']]}" for one in found)

        walk(page, check)
    assert not serious, "\n".join(serious)
