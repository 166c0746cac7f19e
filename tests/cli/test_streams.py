"""Whatever stdin, stdout and stderr are: no traceback, a documented exit code, and valid text."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dmlcli.cli.streams import accept_any_name
from tests.conftest import Mission, make_shop
from tests.places import ROOT


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, mission: Mission) -> Path:
    """A folder with photos and a trained workspace `w`."""
    folder = tmp_path_factory.mktemp("streams")
    shutil.copytree(mission.workspace, folder / "w", ignore=shutil.ignore_patterns("features", "frozen"))
    make_shop(folder / "shop", 4, 3)
    (folder / "caf\N{LATIN SMALL LETTER E WITH ACUTE}.png").write_bytes((folder / "shop/product-00/0.png").read_bytes())
    return folder


def shell(line: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of shell in which `dmlcli` is the program of this checkout."""
    function = f'dmlcli() {{ {shlex.quote(sys.executable)} -m dmlcli "$@"; }}'
    return subprocess.run(
        ["bash", "-c", f"{function}\n{line}"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        timeout=300,
        check=False,
    )


QUERY = "dmlcli query shop/product-00/0.png -w w -k 2"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(("line", "code"), [(QUERY, 0), ("dmlcli query nowhere.png -w w", 4), ("dmlcli --help", 0)])
def test_a_closed_stream_is_a_null_device(place: Path, line: str, code: int, closed: str) -> None:
    found = shell(f"{line} {closed}", place)
    assert found.returncode == code and "Traceback" not in found.stderr, found


@pytest.mark.parametrize("line", [QUERY, "dmlcli --help", "dmlcli status -w w"])
def test_output_that_cannot_be_written_is_an_error(place: Path, line: str) -> None:
    found = shell(f"{line} >/dev/full", place)
    assert found.returncode == 4 and found.stderr.startswith("dmlcli: error: No space left on device"), found


VERBS = [
    *(f"query shop -w w --format {format}" for format in ("table", "tsv", "csv", "json", "jsonl", "paths")),
    *(f"eval shop -w w --format {format}" for format in ("table", "json", "csv", "markdown", "latex")),
    *(f"doctor shop --format {format}" for format in ("table", "jsonl")),
    *(f"duplicates -w w --format {format}" for format in ("table", "tsv", "jsonl", "paths")),
    "status -w w",
    "losses",
    "losses --format json",
    "--help",
    "train --help",
    "--version",
    "embed shop -w w -o e.npz",
    "index shop -w w -o i",
]


@pytest.mark.parametrize("format", ["table", "tsv"])
def test_a_query_whose_reader_has_gone_is_no_error(place: Path, format: str) -> None:
    found = shell(f"dmlcli query shop -w w --format {format} | true; exit ${{PIPESTATUS[0]}}", place)
    assert found.returncode == 0, found


@pytest.mark.slow
@pytest.mark.parametrize("line", VERBS)
def test_a_reader_that_closes_early_is_no_error(place: Path, line: str) -> None:
    """Before the first byte, and after the first line."""
    for reader in ("true", "head -n 1 >/dev/null"):
        found = shell(f"dmlcli {line} | {reader}; exit ${{PIPESTATUS[0]}}", place)
        assert found.returncode in (0, 1) and "Traceback" not in found.stderr, found
        assert "Broken pipe" not in found.stderr and "BrokenPipe" not in found.stderr, found


def test_work_goes_on_when_nobody_reads_the_messages(place: Path) -> None:
    """The first line of the command finds its pipe closed."""
    found = shell("dmlcli index shop -w w -o unread 2> >(exec 0<&-) | cat; exit ${PIPESTATUS[0]}", place)
    assert found.returncode == 0, found
    assert shell("dmlcli query shop/product-00/0.png -w w --index unread -k 1", place).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin1", "utf-8"])
def test_output_is_utf8_whatever_the_locale(place: Path, encoding: str) -> None:
    line = "dmlcli query *.png -w w -k 1 --format json"
    found = shell(line, place, PYTHONIOENCODING=encoding)
    assert found.returncode == 0, found
    (answer,) = json.loads(found.stdout)["answers"]
    assert answer["query"] == "caf\N{LATIN SMALL LETTER E WITH ACUTE}.png"
    failed = shell("dmlcli query n\N{GREEK SMALL LETTER OMEGA}.png -w w", place, PYTHONIOENCODING=encoding)
    assert failed.returncode == 4 and "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("text", "encoding", "data"),
    [
        ("\N{GRINNING FACE}", "ascii", b"\\ud83d\\ude00"),
        ("\N{GREEK SMALL LETTER OMEGA}", "latin-1", b"\\u03c9"),
        ("caf\udce9", "utf-8", b"caf\xe9"),
        ("a\ud800b", "utf-8", b"a\\ud800b"),
    ],
)
def test_what_an_encoding_does_not_have_is_escaped(text: str, encoding: str, data: bytes) -> None:
    accept_any_name()
    assert text.encode(encoding, "dmlcli") == data


@pytest.mark.parametrize(("line", "code"), [("status", 4), ("query x.png", 4), ("--version", 0), ("--help", 0)])
def test_a_deleted_folder_is_named(tmp_path: Path, line: str, code: int) -> None:
    found = shell(f"mkdir gone && cd gone && rmdir ../gone && dmlcli {line}", tmp_path)
    assert found.returncode == code and "Traceback" not in found.stderr, found
    assert code == 0 or "the current folder has been deleted" in found.stderr
