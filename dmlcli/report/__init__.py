"""What each command returns: frozen records that `cli/views/` shows, one module for each command.

Records are as flat as the JSON output, with one field for each key.

`schema` gives the JSON Schema of what `--format json` prints. Nothing else is handed out from here: making a record's
class takes half a millisecond, and a command loads only its own.
"""

TYPE_CHECKING = False  # as in `dmlcli`: every command line loads this package
if TYPE_CHECKING:
    from typing import Any

__all__ = ["schema"]


def schema(name: str) -> "dict[str, Any]":
    """Return the JSON Schema (draft 2020-12) of what a command prints.

    Args:
        name: a command, for `--format json`; `query_line`, `doctor_line` or `duplicates_line`, for a line of
            `--format jsonl`; `train_plan` or `eval_plan`, for `--dry-run`; `error`, for what stderr holds.

    Raises:
        ValueError: an unknown schema.
    """
    import json
    from pathlib import Path

    folder = Path(__file__).parent / "schemas"
    known = sorted(file.stem for file in folder.glob("*.json"))
    if name not in known:
        raise ValueError(f"unknown schema {name!r}; known: {', '.join(known)}")
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found
