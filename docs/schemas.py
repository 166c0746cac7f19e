"""The JSON Schemas in dmlcli/report/schemas/, made of the records in dmlcli/report/; `make docs` writes them.

A property has the name and type of its field, the range of its unit (dmlcli/report/units.py), and as description the
text below the field.
"""

import ast
import inspect
import json
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from dmlcli import report
from dmlcli.cli.formatting import SCHEMA
from dmlcli.report import units
from dmlcli.report.backbones import BackbonesReport
from dmlcli.report.compare import CompareReport
from dmlcli.report.compare_backbones import CompareBackbonesReport
from dmlcli.report.doctor import DoctorReport, Problem
from dmlcli.report.duplicates import DuplicatesReport, Group
from dmlcli.report.embed import EmbedReport
from dmlcli.report.error import ErrorReport
from dmlcli.report.eval import EvalReport
from dmlcli.report.eval_plan import EvalPlan
from dmlcli.report.index import IndexReport
from dmlcli.report.losses import LossesReport
from dmlcli.report.models import ModelsReport
from dmlcli.report.models_diff import ModelsDiffReport
from dmlcli.report.models_use import ModelsUseReport
from dmlcli.report.query import Answer, QueryReport
from dmlcli.report.serve import ServeReport
from dmlcli.report.status import StatusReport
from dmlcli.report.sweep import SweepReport
from dmlcli.report.train import TrainReport
from dmlcli.report.train_plan import PlanReport

FOLDER = Path(report.__file__).parent / "schemas"
RECORDS: dict[str, tuple[type, str]] = {
    "backbones": (BackbonesReport, "dmlcli backbones --format json"),
    "compare": (CompareReport, "dmlcli compare --format json"),
    "compare_backbones": (CompareBackbonesReport, "dmlcli compare --backbones --format json"),
    "doctor": (DoctorReport, "dmlcli doctor --format json"),
    "doctor_line": (Problem, "A line of dmlcli doctor --format jsonl"),
    "duplicates": (DuplicatesReport, "dmlcli duplicates --format json"),
    "duplicates_line": (Group, "A line of dmlcli duplicates --format jsonl"),
    "embed": (EmbedReport, "dmlcli embed --format json"),
    "error": (ErrorReport, "What stderr holds where a command with --format json or jsonl fails"),
    "eval": (EvalReport, "dmlcli eval --format json"),
    "eval_plan": (EvalPlan, "dmlcli eval --dry-run --format json"),
    "index": (IndexReport, "dmlcli index --format json"),
    "losses": (LossesReport, "dmlcli losses --format json"),
    "models": (ModelsReport, "dmlcli models --format json"),
    "models_diff": (ModelsDiffReport, "dmlcli models diff --format json"),
    "models_use": (ModelsUseReport, "dmlcli models use --format json"),
    "query": (QueryReport, "dmlcli query --format json"),
    "query_line": (Answer, "A line of dmlcli query --format jsonl"),
    "serve": (ServeReport, "dmlcli serve --format json, when the server ends"),
    "status": (StatusReport, "dmlcli status --format json"),
    "sweep": (SweepReport, "dmlcli sweep --format json"),
    "train": (TrainReport, "dmlcli train --format json"),
    "train_plan": (PlanReport, "dmlcli train --dry-run --format json"),
}
OPTIONAL = {(Answer, "stages")}  # fields that are not always printed
UNPRINTED = {(Answer, "photos"), (QueryReport, "columns")}
_SIMPLE = {str: "string", bool: "boolean", int: "integer", float: "number", types.NoneType: "null"}


def pages() -> dict[Path, str]:
    """Every schema file with its text."""
    schemas = {name: schema(record, title) for name, (record, title) in RECORDS.items()}
    return {
        FOLDER / f"{name}.json": json.dumps(made, indent=2, ensure_ascii=False) + "\n" for name, made in schemas.items()
    }


def schema(record: type, title: str) -> dict[str, Any]:
    """Return the schema of a record as it is printed: with its version, and the records in it as definitions."""
    parts: dict[str, Any] = {}
    made = _object(record, parts)
    version = {"const": SCHEMA, "description": "Version of this format."}
    made["properties"] = {"schema": version} | made["properties"]
    made["required"] = ["schema", *made["required"]]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return head | made | ({"$defs": dict(sorted(parts.items()))} if parts else {})


def _object(record: type, parts: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one record alone; those that it holds are added to `parts`."""
    kinds = get_type_hints(record, localns=vars(units), include_extras=True)
    described = _descriptions(record)
    properties = {
        name: _value(kind, parts) | {"description": described[name]}
        for name, kind in kinds.items()
        if (record, name) not in UNPRINTED
    }
    return {
        "description": inspect.cleandoc(record.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if (record, name) not in OPTIONAL],
        "additionalProperties": False,
    }


def _descriptions(record: type) -> dict[str, str]:
    """Return the text below each field of a class."""
    (tree,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _value(kind: Any, parts: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value of a type; the records in it are added to `parts`."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if origin is Annotated:
        limits = kind.__metadata__[0]._asdict()
        return _value(inner[0], parts) | {name: limit for name, limit in limits.items() if limit is not None}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_value(one, parts) for one in inner]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(inner[1], parts)}
    if origin is tuple and inner[-1] is not ...:
        items = [_value(one, parts) for one in inner]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    if origin in (tuple, list, Iterable):
        return {"type": "array", "items": _value(inner[0], parts)}
    if kind.__name__ not in parts:
        parts[kind.__name__] = _object(kind, parts)
    return {"$ref": f"#/$defs/{kind.__name__}"}
