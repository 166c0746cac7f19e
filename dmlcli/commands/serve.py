"""dmlcli serve: answer searches over HTTP, with a page for people."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options, progress
from dmlcli.arguments import names
from dmlcli.errors import CannotRun, UsageError

if TYPE_CHECKING:
    from dmlcli.report.serve import ServeReport

_LONGEST_NAME = 100  # characters


def serve(
    *,
    index: options.ServedIndexes = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8765,
    token: options.Token = None,
    show_paths: options.ShowPaths = False,
    allow_urls: options.AllowUrls = False,
    device: options.Device = "auto",
    provider: options.Provider = None,
    workspace: options.WorkspacePath = None,
) -> "ServeReport":
    """Serve a page to search by photo, and the same search over HTTP.

    The index is opened again when it changes. Requests are logged to stderr as JSON lines. Ctrl-C or SIGTERM stops the
    server once the open requests are answered. docs/serve.md describes the API.

    Examples:

        dmlcli serve

        DMLCLI_SERVE_TOKEN=$(openssl rand -hex 16) dmlcli serve --host 0.0.0.0
    """
    places = _places(names(index, "index"), workspace)
    try:
        from dmlcli.server.settings import ServerSettings

        settings = ServerSettings(host, port, token, show_paths, allow_urls)
        settings.check()
        from dmlcli.server import run
        from dmlcli.server.open_index import OpenIndex
    except ImportError as error:
        raise CannotRun(
            f"serve needs the package {error.name}, which is not installed", hint="pip install 'dmlcli[serve]'"
        ) from error
    from dmlcli.report.serve import ServeReport

    _limit_pixels(settings.limits.pixels)
    indexes = [OpenIndex(name, place, device, provider) for name, place in places.items()]
    url, since = "", time.monotonic()

    def started(address: str) -> None:
        nonlocal url
        url = address
        images = ", ".join(f"{one.name} ({one.opened.session.gallery.images:,} images)" for one in indexes)
        progress.note(f"serving {images} at {address} (Ctrl-C stops it)")

    run.serve(indexes, settings, started)
    return ServeReport(url, [one.name for one in indexes], round(time.monotonic() - since, 1))


def _places(given: list[str], workspace: Path | None) -> dict[str, Path | str]:
    """Return where each index lies, by its name."""
    from dmlcli.indexes.gallery import is_address

    if not given:
        from dmlcli.workspace import need

        return {"": need(workspace).index}
    places: dict[str, Path | str] = {}
    for text in given:
        name, sign, place = text.partition("=")
        if not sign or is_address(text) or Path(text).exists():
            name, place = Path(text.rstrip("/")).name, text
        if not name or len(name) > _LONGEST_NAME or name in places:
            raise UsageError(f"--index {text}: each index needs a name of its own", hint="--index NAME=PATH")
        places[name] = place if is_address(place) else Path(place)
    return places


def _limit_pixels(most: int) -> None:
    """Set the limit for photos of clients, unless the user has set one."""
    from dmlcli.image import limits

    if not limits.is_set():
        limits.allow_pixels(most)
