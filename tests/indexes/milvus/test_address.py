"""The address of a collection: what it names, and that it never tells what opens the server."""

from pathlib import Path

import pytest

from dmlcli.errors import UsageError
from dmlcli.indexes.milvus.address import Address, parse


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("milvus://host:19530/shop", Address("http://host:19530", "shop", "milvus://host:19530")),
        ("milvus://host/shop", Address("http://host:19530", "shop", "milvus://host:19530")),
        ("milvus://10.0.0.7:1/a_1", Address("http://10.0.0.7:1", "a_1", "milvus://10.0.0.7:1")),
        ("milvus://[::1]:19530/shop", Address("http://[::1]:19530", "shop", "milvus://[::1]:19530")),
        ("milvuss://host/shop", Address("https://host:19530", "shop", "milvuss://host:19530")),
        ("milvus://host/db/shop", Address("http://host:19530", "shop", "milvus://host:19530/db", "db")),
        ("milvus:./file.db/shop", Address("./file.db", "shop", "milvus:./file.db")),
        ("milvus:file.db/shop", Address("file.db", "shop", "milvus:file.db")),
        ("milvus:/tmp/a b/file.db/shop", Address("/tmp/a b/file.db", "shop", "milvus:/tmp/a b/file.db")),
        ("milvus:///tmp/file.db/shop", Address("/tmp/file.db", "shop", "milvus:/tmp/file.db")),
    ],
)
def test_what_an_address_names(typed: str, expected: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILVUS_TOKEN", raising=False)
    assert parse(typed) == expected
    assert parse(Path(typed)) == expected  # a path keeps one slash of two
    assert parse(str(parse(typed))) == expected  # what is shown can be typed again


@pytest.mark.parametrize(
    "typed",
    [
        "milvus:shop",
        "milvus://host",
        "milvus://host/",
        "milvus://host/a-b",
        "milvus://ho st/shop",
        "milvus://host:99999/shop",
        "milvus://host/1/2/shop",
        "milvus:",
        "milvus://me:secret@host",
        "milvus://me:secret@host:port/shop",
        "milvus://me:sec/ret@host/shop/x/y",
    ],
)
def test_what_names_nothing_is_a_usage_error(typed: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(typed)
    assert "milvus://host:19530/products" in raised.value.hint and "sec" not in str(raised.value)


def test_what_opens_a_server_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "me:secret")
    assert parse("milvus://host/shop").token == "me:secret"
    named = parse("milvus://you:p%40ss@host/shop")
    assert named.token == "you:p@ss"
    for address in (named, parse("milvus://host/shop")):
        assert "ss@" not in f"{address} {address!r}" and "secret" not in f"{address} {address!r}"
