"""One HTML page that holds everything it shows: no network, no file beside it. What the pages of every verb share.

A page is calm (system fonts, light or dark as the reader's screen is) and can be read, printed and mailed as one file.
"""

import base64
import html
import io

from dmlcli.errors import ImageError
from dmlcli.image import open_image
from dmlcli.report.query import Picture

# Nothing may be loaded from anywhere: not by a mistake here, nor by a product whose name tries to be markup.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --paper: #fafaf8; --card: #ffffff; --ink: #1d1d1f; --faint: #6e6e73; --line: #e2e2dd;
  --accent: #c2410c; --good: #15803d; }
@media (prefers-color-scheme: dark) { :root { --paper: #161618; --card: #1f1f22; --ink: #ececee; --faint: #9a9aa0;
  --line: #343438; --accent: #fb923c; --good: #4ade80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 88rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; font-weight: 650; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.faint { color: var(--faint); } .number { font-variant-numeric: tabular-nums; text-align: right; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; color: var(--faint); }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
kbd { font: .8rem ui-monospace, monospace; border: 1px solid var(--line); border-radius: 4px; padding: 0 .35rem; }
@media print { body { max-width: none; padding: 0; } }
"""


def page(title: str, body: str, style: str = "", script: str = "") -> str:
    """A whole page.

    Args:
        title: plain text, for the window and as the first heading.
        body: markup; whoever writes it escapes what comes from outside (`escape`).
        style, script: more CSS, and JavaScript that runs once the body is there.
    """
    name = escape(title)
    run = f"<script>\n{script.strip()}\n</script>\n" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{name}</title>\n<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n<h1>{name}</h1>\n{body}\n{run}</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Text from outside as it may stand in markup and in attributes; bytes that are no UTF-8 as a mark."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"), quote=True)


def thumbnail(source: Picture | bytes, pixels: int = 240) -> str | None:
    """An image file as a data URI for `<img src>`, its longer side at most `pixels`; None where it cannot be read."""
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        image = open_image(data, at_least=pixels)
    except (ImageError, OSError, ValueError):
        return None
    image.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
