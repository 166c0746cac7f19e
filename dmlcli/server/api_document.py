"""What OpenAPI says of the searches: their options, bodies and answers."""

import json
from importlib import resources
from typing import Any

from dmlcli.server.search_request import IMAGES, PART, SearchParameters

_MORE = {
    "index": {"type": "string", "description": "The name of the index."},
    "why_empty": {"type": "string", "description": "Why the answer has no hits; missing if it has some."},
}
_MORE_OF_HITS = {"path": {"type": "string", "description": "The path of the image; only with --show-paths."}}
_PHOTO = {"type": "string", "format": "binary"}


def _parameters() -> list[dict[str, Any]]:
    """Return the options as parameters of a query string."""
    described: dict[str, Any] = SearchParameters.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "description": schema.pop("description", ""), "schema": schema}
        for name, schema in described.items()
    ]


def _answers() -> dict[str, Any]:
    """Return the schema of an answer: that of a line of `query --format jsonl`."""
    schema: dict[str, Any] = json.loads(
        resources.files("dmlcli.report").joinpath("schemas/query_line.json").read_text(encoding="utf-8")
    )
    definitions = schema.pop("$defs", {})
    schema["properties"] |= _MORE
    definitions["Hit"]["properties"] |= _MORE_OF_HITS
    schema.pop("$schema", None)
    text = json.dumps(schema)
    for name, definition in definitions.items():  # a document of OpenAPI has its own place for definitions
        text = text.replace(f'{{"$ref": "#/$defs/{name}"}}', json.dumps(definition))
    inlined: dict[str, Any] = json.loads(text)
    return inlined


def _json_body() -> dict[str, Any]:
    """Return the schema of a JSON body: the options, and photos in base64."""
    schema: dict[str, Any] = SearchParameters.model_json_schema()
    image = {"type": "string", "contentEncoding": "base64"}
    schema["properties"][IMAGES] = {"type": "array", "items": image, "description": "Photos of one product."}
    return schema


_FORM = {
    "type": "object",
    "properties": {PART: {"type": "array", "items": _PHOTO, "description": "Photos of one product."}},
    "required": [PART],
}
SEARCH: dict[str, Any] = {
    "parameters": _parameters(),
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "image/*": {"schema": _PHOTO},
            "application/json": {"schema": _json_body()},
        },
    },
    "responses": {
        "200": {"description": "The hits, best first", "content": {"application/json": {"schema": _answers()}}}
    },
}
BATCH: dict[str, Any] = {
    "parameters": _parameters(),
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}},
    "responses": {
        "200": {
            "description": "One answer for each photo, in order",
            "content": {"application/x-ndjson": {"schema": _answers()}},
        }
    },
}
