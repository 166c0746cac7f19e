"""A shop with columns, and a server of it that all tests share which do not change it."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dmlcli
from tests.conftest import Mission
from tests.server.browser import chromium
from tests.server.running import Running, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def write_table(file: Path, photos: list[Path]) -> Path:
    """A table of photos whose folders are their products, with a title and a price."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "product", "category", "title", "price"])
        for photo in photos:
            product, category = photo.parent.name, photo.parent.parent.name
            price = 3 + sum(map(ord, product)) % 50 + 0.5
            table.writerow([photo, product, category, product.replace("-", " ").title(), f"{price:.2f}"])
    return file


@pytest.fixture(scope="session")
def storefront(mission: Mission, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of the mission's photos, and their index in its workspace."""
    folder = tmp_path_factory.mktemp("storefront")
    table = write_table(folder / "shop.csv", mission.images())
    dmlcli.index(table, model=mission.workspace / "model", workspace=folder / ".dmlcli")
    return folder


@pytest.fixture(scope="session")
def server(storefront: Path) -> Iterator[Running]:
    """A server of this shop."""
    with running(storefront) as found:
        yield found


@pytest.fixture(scope="module")  # no longer: Playwright runs an event loop, which others could not run beside
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Browser]":
    """A browser for the tests of the page."""
    with chromium(tmp_path_factory.mktemp("camera") / "film.mjpeg") as found:
        yield found
