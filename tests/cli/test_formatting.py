"""How lines are printed."""

import sys
from types import SimpleNamespace

import pytest

from dmlcli.cli import formatting


def test_a_row_goes_out_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal between a line and its end would leave half a line to whoever reads on."""
    pieces: list[str] = []
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=pieces.append, flush=lambda: pieces.append("flushed")))
    formatting.row("a\tb", flush=True)
    formatting.say("c\x1b")
    assert pieces == ["a\tb\n", "flushed", "c\\x1b\n"]
