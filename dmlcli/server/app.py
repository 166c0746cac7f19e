"""The application: guards around the routes of the API and of the page."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from dmlcli import __version__, progress
from dmlcli.errors import DmlcliError
from dmlcli.pages.rendering import render
from dmlcli.server.errors import described, status_of
from dmlcli.server.guards import Guards, Refused, error_response
from dmlcli.server.measures import Measures
from dmlcli.server.routes import Routes
from dmlcli.server.search_service import SearchService
from dmlcli.server.settings import ServerSettings

_PAGE = Path(__file__).parent / "page"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"  # a page without any script


def build_app(service: SearchService, settings: ServerSettings) -> ASGIApp:
    """Return the ASGI application of a server.

    Args:
        service: answers searches.
        settings: of the server.
    """
    measures = Measures()
    app = FastAPI(title="dmlcli", version=__version__, docs_url=None, redoc_url=None)
    Routes(service, settings, measures).add_to(app.router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/docs", _docs(app), include_in_schema=False)
    app.mount("/page", _PageFiles(directory=_PAGE))
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return Guards(app, settings, measures)


class _PageFiles(StaticFiles):
    """The files of the page, which browsers ask for again once they have changed."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["cache-control"] = "no-cache"
        return response


async def _page() -> Response:
    return FileResponse(_PAGE / "index.html", headers={"content-security-policy": _PAGE_POLICY})


def _docs(app: FastAPI) -> Any:
    """Return a route with the OpenAPI document as a page, which loads nothing."""

    async def docs() -> Response:
        html = render("api.html", {"version": __version__}, api=app.openapi())
        return Response(html, media_type="text/html", headers={"content-security-policy": _DOCS_POLICY})

    return docs


async def _dmlcli_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, DmlcliError)
    status = status_of(error)
    if status >= 500:
        progress.warn(str(error))
    hint = error.hint if status < 500 else ""
    return error_response(status, described(error), hint, error.exit_code)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error_response(error.status, str(error), error.hint)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, str(error.detail).lower())


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return error_response(400, f"invalid {'.'.join(map(str, first['loc'][1:])) or 'request'}: {first['msg']}")


async def _bug(_: Request, error: Exception) -> Response:
    return error_response(500, "internal error", "the log of the server has the reason", 70)


_HANDLERS: dict[type[Exception], Any] = {
    DmlcliError: _dmlcli_error,
    Refused: _refused,
    HTTPException: _http_error,
    RequestValidationError: _invalid,
    Exception: _bug,
}
