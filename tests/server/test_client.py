"""query --server: the answers of a server look as if the index were here."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SAMPLE, Cli, process
from tests.server.running import Running, running

SHOTS = sorted((SAMPLE / "queries").glob("*/1.jpg"))[:3]


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are the same, but for the address of photos and the last digits of numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one if key != "image")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == pytest.approx(other, abs=1e-4)) if isinstance(one, float) else bool(one == other)


@pytest.mark.parametrize(
    "words",
    [
        [*SHOTS],
        [SHOTS[0], "-k", "3", "--where", "price < 20", "--by", "image"],
        [*SHOTS, "--fuse", "-k", "4"],
        [SHOTS[1], "--crop", "10%,10%,80%,80%", "-k", "3", "--columns", "title,price"],
        [SHOTS[1], "--crop", "auto", "-k", "3"],
        ["--like", "mug-wide-stripes", "--wrong", "mug-wide-stripes", "-k", "2"],
    ],
)
@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv"])
def test_the_output_is_the_same(server: Running, storefront: Path, words: list[Any], format: str) -> None:
    here = process("query", *words, "--format", format, cwd=storefront)
    there = process("query", *words, "--format", format, "--server", server.url, cwd=storefront)
    assert here.returncode == there.returncode == 0, there.stderr
    mine, its = here.stdout.decode().splitlines(), there.stdout.decode().splitlines()
    if format == "jsonl":
        assert "auto" not in words or json.loads(mine[0])["crop"]
        assert alike([json.loads(line) for line in mine], [json.loads(line) for line in its])
        assert json.loads(its[0])["hits"][0]["image"].startswith(f"{server.url}/v1/items/")
    else:
        sign = "," if format == "csv" else "\t"
        assert [line.split(sign)[:2] for line in mine] == [line.split(sign)[:2] for line in its]
        assert [line.split(sign)[5:][1:] for line in mine] == [line.split(sign)[5:][1:] for line in its]


def test_photos_that_cannot_be_read_are_listed(server: Running, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    names = [SHOTS[0], tmp_path / "broken.jpg", tmp_path / "missing.jpg", SHOTS[1]]
    (tmp_path / "list").write_text("\n".join(map(str, names)))
    found = cli("query", "--files-from", tmp_path / "list", "-k", 1, "--server", server.url)
    assert found.code == 3 and [line.split("\t")[0] for line in found.out.splitlines()] == [
        str(names[0]),
        str(names[3]),
    ]
    assert "broken.jpg" in found.err and "missing.jpg" in found.err
    assert cli("query", tmp_path / "broken.jpg", "--server", server.url).code == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--server", "http://127.0.0.1:9"], 4, "no answer from"),
        (["--server", "ftp://127.0.0.1"], 2, "invalid --server"),
        (["--sheet", "a.png"], 2, "--sheet does not work with --server"),
        (["--explain"], 2, "--explain does not work with --server"),
        (["--where", "colour = 1"], 2, "colour"),
        (["--index", "other"], 2, "no index other"),
        (["--minus", "nothing"], 2, "nothing"),
    ],
)
def test_errors_are_those_of_the_command_line(
    server: Running,
    words: list[str],
    code: int,
    message: str,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    more = [] if "--server" in words else ["--server", server.url]
    found = cli("query", SHOTS[0], *words, *more)
    assert found.code == code and message in found.err


def test_the_token_comes_from_the_environment(storefront: Path, cli: Cli, monkeypatch: Any) -> None:
    with running(storefront, "--token", "0123456789abcdef", "--show-paths") as guarded:
        refused = cli("query", SHOTS[0], "--server", guarded.url)
        assert refused.code == 4 and "DMLCLI_SERVE_TOKEN" in refused.err
        monkeypatch.setenv("DMLCLI_SERVE_TOKEN", "0123456789abcdef")
        found = cli("query", SHOTS[0], "--server", guarded.url, "--format", "paths", "-k", 1)
        assert found.code == 0 and Path(found.out.strip()).is_file()
