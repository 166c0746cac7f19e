"""Lists of paths in every encoding and with every separator; a line that cannot be a path keeps its place."""

import codecs
import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from dmlcli import path_lists
from dmlcli.errors import CannotRun, UsageError
from dmlcli.path_lists import Line

NAMES = ["mugs/0.jpg", "größe 2.jpg", "茶/1.jpg"]


def read(tmp_path: Path, data: bytes, null: bool = False) -> list[Line]:
    (tmp_path / "list.txt").write_bytes(data)
    return list(path_lists.read(str(tmp_path / "list.txt"), null))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("last", ["", "ended"])
def test_every_encoding_gives_the_same_paths(
    tmp_path: Path, mark: bytes, encoding: str, newline: str, last: str
) -> None:
    text = newline.join(NAMES) + (newline if last else "")
    assert read(tmp_path, mark + text.encode(encoding)) == [Line(name) for name in NAMES]


def test_names_that_are_not_utf8_stay_the_bytes_they_are(tmp_path: Path) -> None:
    (line,) = read(tmp_path, b"caf\xe9.jpg\n")
    assert os.fsencode(line.name) == b"caf\xe9.jpg" and not line.failure


@pytest.mark.parametrize("data", [b"a.jpg\0b.jpg\0", b"a.jpg\0b.jpg", b"a.jpg\0" * 20_000])
def test_a_list_separated_by_nul_needs_the_option(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match="separated by NUL") as caught:
        read(tmp_path, data)
    assert caught.value.hint == "add --null"
    assert {line.name for line in read(tmp_path, data, null=True)} <= {"a.jpg", "b.jpg"}


def test_a_list_separated_by_newlines_needs_no_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="separated by newlines"):
        read(tmp_path, b"a.jpg\nb.jpg\n", null=True)
    assert read(tmp_path, b"a\nb.jpg\0", null=True) == [Line("a\nb.jpg")]


def test_a_bad_line_keeps_its_place(tmp_path: Path) -> None:
    long = b"x" * 100_000
    found = read(tmp_path, b"a.jpg\nb\0c\n\n  \n" + long + b"\nd.jpg\n" + long)
    assert [line.name for line in found if not line.failure] == ["a.jpg", "d.jpg"]
    assert ["NUL" in found[1].failure, "32,768 bytes" in found[2].failure] == [True, True]
    assert found[2].name == f"line 5 of {tmp_path / 'list.txt'}" and found[4].name.startswith("line 7 of")


def test_a_line_without_end_stays_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_lists, "_chunks", lambda _: (b"x" * (1 << 16) for _ in range(1000)))
    tracemalloc.start()
    try:
        (line,) = path_lists.read("-", False)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # of 65 MB
    finally:
        tracemalloc.stop()
    assert line.failure


@pytest.mark.parametrize("name", ["nowhere.txt", "", "a\0b", "x" * 304])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotRun, match="cannot read") as caught:
        list(path_lists.read(name, False))
    assert "--files-from" in caught.value.hint


def test_a_line_is_there_before_the_next_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin, os.fdopen(writer, "wb", buffering=0) as typed:
        monkeypatch.setattr(sys, "stdin", stdin)
        lines = path_lists.read("-", False)
        for name in ("a", "b.jpg"):
            typed.write(name.encode() + b"\n")
            assert next(lines) == Line(name)
