"""The page of the answers: pictures, scores and columns inside, safe from odd names, walked by keyboard."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dmlcli.errors import CannotRun
from dmlcli.pages import hits
from dmlcli.report.query import Answer, Hit
from tests.conftest import encoded, make_shop, photo

HEADING = {"catalog": "shop", "model": "abc", "date": "2026-11-27"}
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def answer(shop: Path, name: str = "mug", hits: int = 2) -> Answer:
    image = str(shop / "product-01" / "0.png")
    columns = {"price": 12.5, "note": "", "<b>": "</dd>"}
    found = tuple(
        Hit(rank, 1 - rank / 10, name, image, "cups", 1 - rank / 10, 1, columns) for rank in range(1, hits + 1)
    )
    return Answer("photos/a.png", found, 0.9, None, (shop / "product-00" / "0.png", encoded(photo(1))))


def test_everything_is_inside(shop: Path, tmp_path: Path) -> None:
    answers = [answer(shop), answer(shop)]
    assert list(hits.writing(tmp_path / "a.html", answers, HEADING)) == answers
    text = (tmp_path / "a.html").read_text()
    assert text.count("<section") == 2 and text.count("<use ") == 8
    assert text.count('href="data:image/jpeg;base64,') == 2  # a photo is in it once, however often it is shown
    assert "0.900" in text and "12.5" in text and "cups" in text and "note" not in text
    assert "&lt;b&gt;" in text and "</dd></dd>" not in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_answers_pass_while_the_page_is_put_together(shop: Path, tmp_path: Path) -> None:
    passing = hits.writing(tmp_path / "a.html", [answer(shop), answer(shop)], HEADING)
    next(passing)
    assert not (tmp_path / "a.html").exists()
    passing.close()  # type: ignore[attr-defined]
    assert (tmp_path / "a.html").read_text().count("<section") == 1


def test_no_hits_are_reported_with_the_closest(tmp_path: Path) -> None:
    nothing = Answer("-", (), closest=0.4321, min_score=0.7)
    list(hits.writing(tmp_path / "a.html", [nothing], HEADING))
    assert "Not in the catalog: the best score, 0.432, is below" in (tmp_path / "a.html").read_text()


def test_what_is_left_out_is_said(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "_MOST_QUERIES", 2)
    list(hits.writing(tmp_path / "a.html", [answer(shop)] * 5, HEADING))
    text = (tmp_path / "a.html").read_text()
    assert "5 queries. The first 2 are shown." in text and text.count("<section") == 2


def test_a_page_holds_so_many_hits(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "_MOST_HITS", 5)
    list(hits.writing(tmp_path / "a.html", [answer(shop, hits=hits) for hits in (3, 3, 1)], HEADING))
    text = (tmp_path / "a.html").read_text()
    assert "3 queries. The first 1 are shown." in text and text.count('<li class="hit') == 3
    list(hits.writing(tmp_path / "a.html", [answer(shop, hits=7)], HEADING))
    text = (tmp_path / "a.html").read_text()
    assert "The first 5 of 7 hits are shown." in text and text.count('<li class="hit') == 5


def test_a_first_hit_is_not_shown_as_right(shop: Path, tmp_path: Path) -> None:
    """Green is for what is known to be right, as on the page of eval."""
    list(hits.writing(tmp_path / "a.html", [answer(shop)], HEADING))
    style = (tmp_path / "a.html").read_text()
    assert "var(--good)" not in style


def test_a_page_that_cannot_be_written_is_reported(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    with pytest.raises(CannotRun, match="cannot write"):
        list(hits.writing(tmp_path / "a.html", [answer(shop)], HEADING))


KEYS = """<script>
const press = key => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
const at = () => [...document.querySelectorAll('.hits .hit')].indexOf(document.activeElement);
const trail = [];
const keys = ['ArrowRight', 'ArrowRight', 'j', 'k', 'l', 'ArrowLeft', 'End', 'Home'];
for (const key of keys) { press(key); trail.push(at()); }
press('Enter'); trail.push(document.querySelector('dialog').open);
press('ArrowDown'); trail.push(document.querySelector('dialog b').textContent);
press('Enter'); trail.push(document.querySelector('dialog').open);
document.title = trail.join(' ');
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_walks_over_the_hits_by_keyboard(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop")
    answers = [answer(shop, "one", 3), Answer("none", ()), answer(shop, "two", 2)]
    list(hits.writing(tmp_path / "a.html", answers, HEADING))
    page = tmp_path / "a.html"
    page.write_text(page.read_text().replace("</body>", KEYS + "</body>"))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = re.search("<title>(.*?)</title>", done.stdout)
    # first hit, next, the same place of the next query with hits, back, …; enlarged, walked on while large, closed
    assert title is not None and title[1] == "0 1 4 1 2 1 4 0 true two false"
