"""Names that try to be markup, on every page: the tags are those of the templates, and no name acts on anything."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dmlcli import printable
from dmlcli.catalog import open_catalog
from dmlcli.pages import evaluation, hits, training
from dmlcli.report.eval import EvalReport
from dmlcli.report.query import Answer, Hit
from dmlcli.report.train import TrainReport
from tests.cli import test_hostile
from tests.conftest import make_embeddings, make_shop
from tests.pages.test_training import ROWS

NAMES = (
    "<script>alert(1)</script>",
    "\"'><img src=http://x.example onerror=alert(1)>",
    "</title></style></svg><b onclick=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;i&gt;",
    "a\x1b[31m\u202e\udcff\x00",
)


class Tags(HTMLParser):
    """Counts tags with the names of their attributes, and keeps the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[" ".join([tag, *sorted(name for name, _ in attributes)])] += 1
        self.texts += [value for _, value in attributes if value]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def query_page(folder: Path, name: str) -> str:
    hit = Hit(1, 0.5, name, name, name, 0.5, 1, {name: name, "price": 2})
    list(hits.writing(folder / "page.html", [Answer(name, (hit, hit))], {"catalog": name}))
    return (folder / "page.html").read_text(encoding="utf-8")


def evaluation_page(folder: Path, name: str) -> str:
    report = test_hostile.hostile(EvalReport)
    report = replace(
        report,
        metrics={"recall@1": 0.5},
        interval95={"recall@1": (0.4, 0.6)},
        insight=replace(report.insight, shape={"intra": 0.5}),
        fingerprints={name: name},
    )
    evaluation.write(folder / "page.html", report)
    return (folder / "page.html").read_text(encoding="utf-8")


def training_page(folder: Path, name: str) -> str:
    report = test_hostile.hostile(TrainReport)
    photos = open_catalog(make_shop(folder / "shop"))
    products = [name if item.product == "product-01" else item.product for item in photos.items]
    items = [item._replace(product=product) for item, product in zip(photos.items, products, strict=True)]
    vectors = [[products.index(product), 1, 0.01 * place] for place, product in enumerate(products)]
    vectors[3] = vectors[0]
    rows = [row | {"stage": name} for row in ROWS]
    training.write(folder / "page.html", report, rows, photos, replace(make_embeddings(vectors, products), items=items))
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("make", [query_page, evaluation_page, training_page])
def test_names_are_text_and_nothing_else(
    make: Callable[[Path, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []
    for number, name in enumerate(("mug", *NAMES)):
        monkeypatch.setattr(test_hostile, "HOSTILE", name)
        (tmp_path / str(number)).mkdir()
        pages.append(make(tmp_path / str(number), name))
    plain, *others = [parsed(page) for page in pages]
    for name, page, found in zip(NAMES, pages[1:], others, strict=True):
        assert found.tags == plain.tags, name
        assert not {*page} & {"\x1b", "\x00", "\u202e"}
        assert any(printable.text(name) in text for text in found.texts), name
