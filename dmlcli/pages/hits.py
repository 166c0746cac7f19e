"""The answers as one HTML page: each query with its hits, their scores and columns; for eyes, keyboard and mail."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

from dmlcli import storage
from dmlcli.catalog import Photo
from dmlcli.pages.base import escape, page, thumbnail
from dmlcli.report.query import Answer, Hit, Picture

_MOST_QUERIES, _MOST_HITS, _MOST_PHOTOS, _PIXELS = 200, 2500, 6, 320  # on one page, so that it still opens
_EMPTY = "data:image/svg+xml;base64," + base64.b64encode(
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1" fill="#8884"/></svg>'
).decode("ascii")
_STYLE = """
.query { display: grid; grid-template-columns: 12rem 1fr; gap: 1.25rem; padding: 1.25rem 0;
  border-top: 1px solid var(--line); }
.query h2 { font-size: .95rem; margin: .5rem 0 0; overflow-wrap: anywhere; }
.asked img { border: 3px solid var(--accent); }
.hits { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; margin: 0; padding: 0;
  list-style: none; }
.hit { background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; cursor: zoom-in; }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 8px; }
.hit img { border-radius: 0; }
.text { padding: .5rem .65rem .65rem; overflow-wrap: anywhere; }
.score { font-variant-numeric: tabular-nums; color: var(--faint); }
.first .score { color: var(--ink); font-weight: 600; }
.bar { height: 3px; background: var(--accent); }
.file { font-size: .75rem; color: var(--faint); margin-top: .3rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .6rem; margin: .4rem 0 0; font-size: .8rem; }
dt { color: var(--faint); } dd { margin: 0; }
dialog { max-width: min(60rem, 94vw); border: 1px solid var(--line); border-radius: 12px; background: var(--card);
  color: var(--ink); }
dialog::backdrop { background: #000a; } dialog .hit { border: 0; cursor: zoom-out; } dialog img { width: 60vmin; }
@media (max-width: 45rem) { .query { grid-template-columns: 1fr; } .asked img { width: 10rem; } }
"""
# Arrow keys walk over hits and queries, Enter enlarges, Escape closes, as in a file manager.
_SCRIPT = """
const hits = [...document.querySelectorAll('.hits .hit')];
const rows = [...document.querySelectorAll('.query')].map(row => [...row.querySelectorAll('.hit')]);
const large = document.querySelector('dialog');
const letters = {l: 'ArrowRight', h: 'ArrowLeft', j: 'ArrowDown', k: 'ArrowUp'};
let last = hits[0];

function enlarge(hit) {
  large.replaceChildren(hit.cloneNode(true));
  large.firstChild.removeAttribute('tabindex');
  if (!large.open) large.showModal();
}
function walk(hit) {
  if (!hit) return;
  last = hit;
  if (large.open) enlarge(hit);
  else { hit.focus(); hit.scrollIntoView({block: 'nearest'}); }
}
function other(step) {  // the same place in the next query, or the previous, that has hits
  let at = rows.findIndex(row => row.includes(last));
  const place = rows[at].indexOf(last);
  do at += step; while (rows[at] && !rows[at].length);
  return rows[at] && rows[at][Math.min(place, rows[at].length - 1)];
}
const steps = {
  ArrowRight: () => hits[hits.indexOf(last) + 1], ArrowLeft: () => hits[hits.indexOf(last) - 1],
  ArrowDown: () => other(1), ArrowUp: () => other(-1), Home: () => hits[0], End: () => hits.at(-1),
};
large.addEventListener('click', () => large.close());
large.addEventListener('close', () => last.focus());
for (const hit of hits) {
  hit.addEventListener('click', () => { last = hit; enlarge(hit); });
  hit.addEventListener('focus', () => { last = hit; });
}
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !last) return;
  const key = letters[event.key] || event.key, among = large.open || hits.includes(document.activeElement);
  if (steps[key]) { event.preventDefault(); walk(among ? steps[key]() : last); }
  else if (key === 'Enter' && among) { event.preventDefault(); large.open ? large.close() : enlarge(last); }
});
"""


def writing(target: Path, answers: Iterable[Answer]) -> Iterator[Answer]:
    """Pass the answers on; write the page once they have come, or once nobody asks for more."""
    shown: list[str] = []
    count, room = 0, _MOST_HITS
    try:
        for answer in answers:
            count += 1
            if len(shown) < _MOST_QUERIES and (room >= len(answer.hits) or not shown):
                shown.append(_row(answer, room))
                room -= len(answer.hits)
            else:
                room = -1  # the first are shown, not those that happen to fit
            yield answer
    finally:
        if shown:
            _write(target, shown, count)


def _write(target: Path, shown: list[str], count: int) -> None:
    left_out = f" The first {len(shown)} are shown." if count > len(shown) else ""
    keys = "<kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> walk, <kbd>Enter</kbd> enlarges, <kbd>Esc</kbd> closes"
    queries = "1 query." if count == 1 else f"{count} queries."
    head = f'<p class="faint">{queries}{left_out} {keys}.</p>\n'
    body = head + "\n".join(shown) + '\n<dialog aria-label="Enlarged hit"></dialog>'
    storage.write_text(target, page("dmlcli query", body, _STYLE, _SCRIPT))


def _row(answer: Answer, most: int) -> str:
    pictures = "".join(_picture(photo, "the query") for photo in answer.pictures[:_MOST_PHOTOS])
    hits = "".join(_hit(hit) for hit in answer.hits[:most])
    if not hits:
        reason = "Not in the catalog" if answer.min_score is not None else "Nothing was found"
        closest = f" (the closest has {answer.closest:.3f})" if answer.closest is not None else ""
        hits = f'<li class="faint">{reason}{closest}.</li>'
    if len(answer.hits) > most:
        hits += f'<li class="faint">The first {most} of {len(answer.hits)} hits are shown.</li>'
    name = f'<h2 title="{escape(answer.query)}">{escape(_tail(answer.query))}</h2>'
    asked = f'<div class="asked">{pictures}{name}</div>'
    return f'<section class="query">{asked}<ol class="hits">{hits}</ol></section>'


def _hit(hit: Hit) -> str:
    """One card; its width of color is the cosine."""
    facts = {"category": hit.category} | hit.columns
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
        if value not in ("", None)
    )
    name = hit.product or Path(hit.image).name
    return (
        f'<li class="hit{" first" if hit.rank == 1 else ""}" tabindex="0" aria-label="{hit.rank}: {escape(name)}">'
        f"{_picture(Photo(Path(hit.image), hit.box), name)}"
        f'<div class="bar" style="width:{100 * max(hit.cosine, 0):.0f}%"></div>'
        f'<div class="text"><b>{escape(name)}</b> <span class="score">{hit.score:.3f}</span><dl>{rows}</dl>'
        f'<div class="file" title="{escape(hit.image)}">{escape(_tail(hit.image))}</div></div></li>'
    )


def _tail(path: str) -> str:
    """The last two parts of a path; the whole path is the tooltip."""
    return "/".join(Path(path).parts[-2:])


def _picture(source: Picture | bytes, name: str) -> str:
    return f'<img src="{thumbnail(source, _PIXELS) or _EMPTY}" alt="{escape(name)}">'
