"""What a client may ask for: the options of a search, and the body with its photos."""

import base64
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from dmlcli.errors import UsageError
from dmlcli.search import query_options
from dmlcli.search.query_inputs import QueryInput, parts
from dmlcli.search.query_options import QueryOptions
from dmlcli.server.settings import Limits

PART = "image"  # of a multipart body
IMAGES = "images"  # of a JSON body
_LONGEST = 2000  # characters of a text
_MOST_NAMES = 100  # of a list
ROUTE_PARAMETERS = ("item",)  # of the query string, that are not options of a search
_FORM, _JSON, _BYTES = "multipart/form-data", "application/json", "application/octet-stream"

Text = Annotated[str, Field(max_length=_LONGEST)]
Names = Annotated[list[Text], Field(max_length=_MOST_NAMES)]


class SearchParameters(BaseModel):
    """The options of a search: those of `dmlcli query` with the same names."""

    model_config = ConfigDict(extra="forbid")

    index: Text | None = Field(None, description="Name of the index; the first one without.")
    top_k: int = Field(10, ge=1, le=Limits.top_k, description="Number of hits.")
    where: Text | None = Field(None, description="SQL expression over the catalog's columns: price < 20.")
    by: Literal["product", "image"] = Field("product", description="Rank products, each once, or images.")
    pool: Literal["max", "top3", "mean", "vote"] | None = Field(None, description="Score of a product.")
    rerank: Text | None = Field(None, description="Re-ranking method: aqe, dba or k-reciprocal.")
    min_score: float | None = Field(None, ge=-1, le=1, description="Leave out images below this cosine.")
    min_confidence: float | None = Field(None, ge=0, le=1, description="Leave out products with a lower probability.")
    max_false_accepts: Text | None = Field(
        None, description="Answer no more than this share of photos of unknown products: 5%."
    )
    minus: Names = Field(
        [], description="Remove this product, or this image: id:17; NAME:0.5 also searches away from it."
    )
    right: Names = Field([], description="Search also for what resembles this product, or this image: id:17.")
    wrong: Names = Field([], description="Remove this product, or this image: id:17, and search away from it.")
    columns: Names = Field([], description="Columns of the catalog with each hit; all of them without.")
    crop: Text | None = Field(
        None, description="x,y,width,height in pixels or percent; auto: find the object; each, in a batch: all objects."
    )
    name: Text | None = Field(None, description="What the photo is called in the answer.")
    like: Text | None = Field(None, description="Search with a product of the index, or an image of it: id:17.")
    url: Text | None = Field(None, description="Search with the photo at this public address, if the server allows it.")
    format: Literal["json", "csv"] = Field("json", description="Format of the answer.")


_LISTS = frozenset(name for name, field in SearchParameters.model_fields.items() if field.annotation == list[Text])
_NOT_OPTIONS = {"index", "name", "like", "url", "format"}  # all others decide the answer


class UnsupportedBody(UsageError):
    """A body of another type than the route takes."""


class SearchRequest(NamedTuple):
    """One search: what is asked, and how."""

    parameters: SearchParameters
    options: QueryOptions
    photos: list[QueryInput]


async def read_search(request: Request, limits: Limits) -> SearchRequest:
    """Return what a client asks for.

    Raises:
        UsageError: an option is unknown or invalid, nothing is asked, or the body is of another type.
    """
    given = [(name, value) for name, value in request.query_params.multi_items() if name not in ROUTE_PARAMETERS]
    photos: list[QueryInput] = []
    kind = _kind(request)
    if kind == _FORM:
        fields, photos = await _form(request, limits.fused_photos)
        given += fields
    elif kind == _JSON:
        values = _json_object(await request.body())
        photos = _decoded(values.pop(IMAGES, []), limits.fused_photos)
        given += values.items()
    elif kind.startswith("image/") or kind in (_BYTES, ""):
        data = await request.body()
        photos = [QueryInput("", data)] if data else []
    else:
        raise UnsupportedBody(f"the body is {kind}", hint=f"send {_FORM} with a part '{PART}', image/*, or {_JSON}")
    parameters = read_parameters(given)
    sources = [bool(photos), parameters.like is not None, parameters.url is not None]
    if sum(sources) != 1:
        raise UsageError(
            "a search needs a photo, like or url, and one of them", hint=f"send a photo as the part '{PART}'"
        )
    options = _options(parameters, fuse=len(photos) > 1)
    named = [photo._replace(name=parameters.name or photo.name or "photo") for photo in photos]
    return SearchRequest(parameters, options, list(parts(named, options.part)))


async def read_batch(request: Request, limits: Limits) -> SearchRequest:
    """Return the photos of a batch, each of which gets an answer of its own; raises as `read_search`."""
    if _kind(request) != _FORM:
        raise UnsupportedBody("the body is not a form", hint=f"send {_FORM} with parts '{PART}'")
    fields, photos = await _form(request, limits.batch_photos)
    parameters = read_parameters([*request.query_params.multi_items(), *fields])
    if not photos or parameters.like or parameters.url:
        raise UsageError("a batch needs photos", hint=f"send them as parts '{PART}'")
    options = _options(parameters, fuse=False)
    return SearchRequest(parameters, options, list(parts(photos, options.part)))


def read_parameters(given: Sequence[tuple[str, Any]]) -> SearchParameters:
    """Return options from names and values, of which lists have several; raises UsageError."""
    values: dict[str, Any] = {}
    for name, value in given:
        if name in _LISTS:
            values.setdefault(name, []).extend(value if isinstance(value, list) else [value])
        elif name in values:
            raise UsageError(f"{name} is given twice", hint="give it once")
        else:
            values[name] = value
    try:
        return SearchParameters.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = ", ".join(SearchParameters.model_fields)
        is_unknown = first["type"] == "extra_forbidden"
        message = f"unknown option {name}" if is_unknown else f"invalid {name}: {first['msg']}"
        raise UsageError(message, hint=f"known: {known}" if is_unknown else "") from error


def _options(parameters: SearchParameters, fuse: bool) -> QueryOptions:
    return query_options.read(**parameters.model_dump(exclude=_NOT_OPTIONS), fuse=fuse)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _form(request: Request, most: int) -> tuple[list[tuple[str, str]], list[QueryInput]]:
    """Return the fields of a form, and its photos under the names of their files."""
    fields: list[tuple[str, str]] = []
    photos: list[QueryInput] = []
    try:
        async with request.form(max_files=most, max_fields=_MOST_NAMES) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name != PART:
                        raise UsageError(f"unknown part {name}", hint=f"photos are parts called '{PART}'")
                    photos.append(QueryInput(value.filename or "photo", await value.read()))
                else:
                    fields.append((name, value))
    except MultiPartException as error:
        raise UsageError(f"the form cannot be read: {error.message}") from error
    return fields, photos


def _decoded(images: Any, most: int) -> list[QueryInput]:
    """Return photos that stand in JSON as text in base64."""
    if not isinstance(images, list) or len(images) > most or not all(isinstance(one, str) for one in images):
        raise UsageError(f"invalid {IMAGES}: expected a list of at most {most} photos in base64")
    try:
        return [QueryInput("", base64.b64decode(one, validate=True)) for one in images]
    except ValueError as error:
        raise UsageError(f"invalid {IMAGES}: {error}") from error


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("the body is not JSON") from error
    if not isinstance(values, dict):
        raise UsageError("the body is not a JSON object")
    return values
