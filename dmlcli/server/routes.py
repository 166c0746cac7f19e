"""The routes of the API; each reads a request, asks the service, and makes a response."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.convertors import StringConvertor, register_url_convertor

from dmlcli import __version__
from dmlcli.errors import DmlcliError, ImageError, UsageError
from dmlcli.search.query_inputs import QueryInput, parts
from dmlcli.server import answer_json, api_document
from dmlcli.server.answer_json import SCHEMA, photo_url
from dmlcli.server.errors import described
from dmlcli.server.guards import COOKIE, Refused, session_value
from dmlcli.server.item_photos import ItemPhotos, Size
from dmlcli.server.measures import MEDIA_TYPE, Measures
from dmlcli.server.open_index import Opened
from dmlcli.server.search_request import SearchRequest, read_batch, read_search
from dmlcli.server.search_service import Found, SearchService
from dmlcli.server.settings import ServerSettings

_CACHED = "private, max-age=86400, immutable"  # the address of a photo changes with the index
_MOST_VALUES = 50  # of a column, that are listed
_MOST_IMAGES = 100  # of a product, that are listed
Number = Annotated[int, Path(ge=0, description="Id of an image in the index.")]
ProductName = Annotated[str, Path(description="Name of a product.")]
Which = Annotated[Size, Path(description="photo, or the smaller thumbnail.")]
ItemNumber = Annotated[int, Query(ge=0, description="Id of an image in the index.")]
IndexName = Annotated[str | None, Query(description="Name of the index; the first one without.")]


class _AnyText(StringConvertor):
    """A part of a path with any characters: a product name may contain slashes and line breaks."""

    regex = "(?s:.*)"


register_url_convertor("text", _AnyText())


class _DirectRoute(APIRoute):
    """A route whose function reads the request itself, and is spared what FastAPI does to fill in parameters."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


class Login(BaseModel):
    """The token of the server."""

    token: str


class Routes:
    """The routes of one server."""

    def __init__(self, service: SearchService, settings: ServerSettings, measures: Measures) -> None:
        self._service, self._settings, self._measures = service, settings, measures
        self._photos = ItemPhotos()

    def add_to(self, router: APIRouter) -> None:
        """Add the routes to the router of an application."""
        add = router.add_api_route
        search, batch = api_document.SEARCH, api_document.BATCH
        add(
            "/v1/search",
            self.search,
            methods=["POST"],
            summary="Search with a photo",
            openapi_extra=search,
            route_class_override=_DirectRoute,
        )
        add("/v1/search/batch", self.batch, methods=["POST"], summary="Search with many photos", openapi_extra=batch)
        add("/v1/match", self.match, methods=["POST"], summary="Where a photo and an image agree", openapi_extra=search)
        add("/v1/items/{number}/{size}", self.photo, summary="A photo of the index", response_class=Response)
        add("/v1/products/{name:text}", self.product, summary="A product with its images")
        add("/v1/index", self.index, summary="The indexes, their columns, and the limits of this server")
        add("/v1/login", self.login, methods=["POST"], summary="Log a page in", status_code=204)
        add("/healthz", self.health, summary="Whether the server answers")
        add("/metrics", self.metrics, summary="Numbers for Prometheus", response_class=Response)

    async def search(self, request: Request) -> Response:
        """Find the products that look most like a photo, a product or an image of the index."""
        wanted = await read_search(request, self._settings.limits)
        if wanted.parameters.url is not None:
            wanted = await self._fetched(wanted, wanted.parameters.url)
        found = await self._service.search(wanted)
        self._measures.photos.inc(len(wanted.photos))
        shows = self._settings.show_paths
        if wanted.parameters.format == "csv":
            text = answer_json.csv(found.answer, found.columns, found.opened, found.name, shows)
            attachment = {"content-disposition": 'attachment; filename="hits.csv"'}
            return Response(text, media_type="text/csv; charset=utf-8", headers=attachment)
        return JSONResponse(answer_json.public(found.answer, found.opened, found.name, shows))

    async def match(self, request: Request, item: ItemNumber) -> Response:
        """Return the terms of the cosine by place in the photo and in the image; each grid adds up to the cosine."""
        wanted = await read_search(request, self._settings.limits)
        try:
            return JSONResponse(await self._service.match(wanted, item))
        except (KeyError, OverflowError) as error:
            raise Refused(404, f"the index has no image {item}") from error
        except (ImageError, UsageError):
            raise
        except DmlcliError as error:
            raise Refused(501, "the model of this index cannot show where photos agree") from error

    async def batch(self, request: Request) -> Response:
        """Answer each photo of a form: JSON Lines in the order of the photos, each as soon as it is there."""
        wanted = await read_batch(request, self._settings.limits)
        self._service.index(wanted.parameters.index)  # an unknown name is an error, not a stream
        return StreamingResponse(self._lines(wanted), media_type="application/x-ndjson")

    async def photo(self, number: Number, size: Which, index: IndexName = None) -> Response:
        """Return a photo as JPEG, with a longer side of at most 1280 (photo) or 320 pixels (thumbnail)."""
        opened = self._service.index(index).opened
        try:
            data = await self._service.in_thread(self._photos.get, opened, number, size)
        except (KeyError, OverflowError) as error:
            raise Refused(404, f"the index has no image {number}") from error
        except DmlcliError as error:
            raise Refused(404, str(error)) from error
        return Response(data, media_type="image/jpeg", headers={"cache-control": _CACHED})

    async def product(self, name: ProductName, index: IndexName = None) -> Response:
        """Return the category, the columns and the images of a product."""
        served = self._service.index(index)
        opened = served.opened
        found = await self._service.in_thread(_product, opened, name, served.name)
        if found is None:
            raise Refused(404, f"the index has no product {name}")
        return JSONResponse(found)

    async def index(self) -> Response:
        """Return what can be searched, and how much of it at a time."""
        limits = self._settings.limits
        indexes = [await self._service.in_thread(_index, index.name, index.opened) for index in self._indexes]
        sizes = {"body_bytes": limits.body_bytes, "batch": limits.batch_photos, "top_k": limits.top_k}
        about = {"schema": SCHEMA, "version": __version__, "accepts_urls": self._settings.allow_urls, "limits": sizes}
        return JSONResponse(about | {"indexes": indexes})

    async def login(self, login: Login) -> Response:
        """Exchange the token for a cookie, which the page needs for its photos."""
        token = self._settings.token
        response = Response(status_code=204)
        if token is None:
            return response
        if not hmac.compare_digest(login.token.encode(), token.encode()):
            await asyncio.sleep(1)  # a guess takes its time
            raise Refused(401, "the token is wrong")
        response.set_cookie(COOKIE, session_value(token), httponly=True, samesite="strict", path="/")
        return response

    async def health(self) -> dict[str, str]:
        """Return that the server answers."""
        return {"status": "ok"}

    async def metrics(self) -> Response:
        """Return counts and times of requests, and the sizes of the indexes."""
        return Response(self._measures.text(self._indexes), media_type=MEDIA_TYPE)

    @property
    def _indexes(self) -> list[Any]:
        return list(self._service.indexes.values())

    async def _fetched(self, wanted: SearchRequest, url: str) -> SearchRequest:
        """Return a search with the photo behind a URL."""
        if not self._settings.allow_urls:
            raise UsageError("this server does not fetch URLs", hint="start it with --allow-urls, or send the photo")
        from dmlcli.server import url_photos  # and httpx

        data = await url_photos.fetch(url, self._settings.limits.body_bytes)
        photo = QueryInput(wanted.parameters.name or url.rpartition("/")[2] or "photo", data)
        return wanted._replace(photos=list(parts([photo], wanted.options.part)))

    async def _lines(self, wanted: SearchRequest) -> AsyncIterator[str]:
        async for found in self._service.search_each(wanted):
            self._measures.photos.inc()
            if isinstance(found, Found):
                line = answer_json.public(found.answer, found.opened, found.name, self._settings.show_paths)
            else:
                name, error = found
                line = {"schema": SCHEMA, "query": name, "error": described(error), "hint": error.hint}
            yield json.dumps(line, ensure_ascii=False) + "\n"


def _index(name: str, opened: Opened) -> dict[str, Any]:
    """Return what a client may know of an index."""
    gallery, model = opened.session.gallery, opened.model
    return {
        "name": name,
        "images": gallery.images,
        "dim": gallery.dim,
        "kind": gallery.kind,
        "model": gallery.model,
        "backbone": model.record.backbone if model else None,
        "probabilities": model is not None and model.record.answers is not None,
        "explains": opened.matches.exists(),
        "columns": [_column(opened, column) for column in ("category", *opened.session.items.columns())],
    }


def _column(opened: Opened, column: str) -> dict[str, Any]:
    """Return the name, the kind and the range or the values of a column."""
    items = opened.session.items
    ends = items.ends(column) if column in items.columns() else None
    about = {"name": column, "decimals": items.columns().get(column, 0)}
    if ends is not None:
        return about | {"kind": "number", "least": ends[0], "most": ends[1]}
    return about | {"kind": "text", "values": items.values(column, _MOST_VALUES) or None}


def _product(opened: Opened, name: str, index: str) -> dict[str, Any] | None:
    items = opened.session.items
    ids = items.of_product(name).tolist() if name else []
    if not ids:
        return None
    category, columns, _ = items.details(ids[:1])[0]
    images = [{"id": str(number), "image": photo_url(str(number), opened, index)} for number in ids[:_MOST_IMAGES]]
    about = {"schema": SCHEMA, "product": name, "category": category, "columns": columns, "count": len(ids)}
    return about | {"images": images}
