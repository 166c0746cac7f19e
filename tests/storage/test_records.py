"""Records are read strictly: names, types, ranges, from regular files of reasonable size."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dmlcli.storage import records

FIELDS = {
    "name": records.TEXT,
    "count": records.whole(1, 10),
    "share": records.optional(records.number(0, 1)),
    "on": records.FLAG,
    "list": records.list_of(records.whole(), length=2),
    "parts": records.mapping_of(records.number()),
    "kind": records.one_of("a", "b"),
    "root": records.REFERENCE,
}
GOOD: dict[str, Any] = {
    "schema": 1,
    "name": "größe",
    "count": 10,
    "share": 1,
    "on": False,
    "list": [0, 7],
    "parts": {"x": 0.5},
    "kind": "b",
    "root": {"absolute": "/a", "relative": "../a"},
}


def read(file: Path, text: str) -> dict[str, Any]:
    file.write_text(text, encoding="utf-8")
    return records.read(file, 1, FIELDS, may_lack=("share",))


def test_a_good_record_is_returned_without_its_schema(tmp_path: Path) -> None:
    assert read(tmp_path / "r", json.dumps(GOOD)) | {"schema": 1} == GOOD
    lacking = {name: value for name, value in GOOD.items() if name != "share"}
    assert "share" not in read(tmp_path / "r", json.dumps(lacking))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"schema": 2}, "another version"),
        ({"schema": True}, "another version"),
        ({"more": 1}, "unknown entry 'more'"),
        ({"name": 5}, "'name' is not a string"),
        ({"name": "a\0b"}, "'name' is not a string"),
        ({"count": 0}, "'count' is not a whole number from 1 to 10"),
        ({"count": 11}, "'count'"),
        ({"count": 2.0}, "'count'"),
        ({"count": True}, "'count'"),
        ({"share": 1.01}, "'share' is not a number from 0 to 1 or null"),
        ({"share": "1"}, "'share'"),
        ({"on": 0}, "'on' is not true or false"),
        ({"list": [1]}, "'list'"),
        ({"list": [1, "2"]}, "'list'"),
        ({"parts": {"x": None}}, "'parts'"),
        ({"parts": {"x": 10**400}}, "'parts'"),
        ({"parts": [1]}, "'parts'"),
        ({"kind": "c"}, "one of 'a', 'b'"),
        ({"root": {"absolute": "/a"}}, "'root'"),
        ({"root": None}, "'root'"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "r", json.dumps(GOOD | change))
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["schema", "name", "root"])
def test_a_missing_entry_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        read(tmp_path / "r", json.dumps({key: value for key, value in GOOD.items() if key != name}))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '"text"', "{", '{"schema": 1', "[" * 100_000, '{"schema": NaN}', '{"a": -Infinity}']
)
def test_what_is_not_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError):
        read(tmp_path / "r", text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_json_does_not_have_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "r").write_text(f'{{"a": [{value}]}}')
    with pytest.raises(ValueError, match=f"^{value} is not a JSON value"):
        records.read_object(tmp_path / "r")


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r")
    with pytest.raises(ValueError, match="not a regular file"):
        records.read_object(tmp_path / "r")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "r").open("wb") as stream:
        stream.truncate(records.LARGEST + 1)  # a hole: it takes no space
    with pytest.raises(ValueError, match="too large"):
        records.read_object(tmp_path / "r")


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        records.read_object(tmp_path / "r")
