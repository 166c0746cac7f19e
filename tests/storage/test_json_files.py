"""JSON files: whole, and readable by people."""

import json
import os
from pathlib import Path

import pytest

from dmlcli import storage
from dmlcli.storage import records


def test_json_is_written_whole_and_readable_by_people(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    storage.write_json(file, {"name": "Küchenlampe"})
    storage.write_json(file, {"name": "Küchenlampe", "n": 2})
    assert json.loads(file.read_text(encoding="utf-8")) == {"name": "Küchenlampe", "n": 2}
    assert "Küchenlampe" in file.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_name_that_is_not_utf8_is_escaped_and_comes_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    storage.write_json(tmp_path / "x.json", {"name": name})
    assert records.read_object(tmp_path / "x.json") == {"name": name}


def test_json_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ValueError, match="does not hold a JSON object"):
        records.read_object(tmp_path / "x.json")


def test_what_a_record_names_is_found_after_both_were_moved(tmp_path: Path) -> None:
    (tmp_path / "a" / "photos").mkdir(parents=True)
    (tmp_path / "a" / "index").mkdir()
    named = storage.reference(tmp_path / "a" / "photos", tmp_path / "a" / "index")
    (tmp_path / "a").rename(tmp_path / "b")
    assert storage.dereference(named, tmp_path / "b" / "index") == tmp_path / "b" / "photos"
