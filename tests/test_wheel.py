"""The wheel holds every file that is read at run time, not only the code."""

import os
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_wheel

from tests.places import ROOT


def test_the_wheel_holds_all_files_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / build_wheel(os.fspath(tmp_path))) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("dmlcli/")}
    here = {file.relative_to(ROOT).as_posix() for file in (ROOT / "dmlcli").rglob("*") if file.is_file()}
    assert {file for file in here if "__pycache__" not in file} == packed
    data = {"report/schemas/query.json", "evaluation/published_results/sop.tsv", "py.typed"}
    assert {f"dmlcli/{name}" for name in data} <= packed
