"""--show on real pseudo-terminals that answer as kitty, iTerm2, a sixel terminal and a plain one do."""

import base64
import fcntl
import io
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmlcli.cli import terminal_images
from dmlcli.pages.contact_sheet import strip
from dmlcli.report.query import Answer, Hit
from tests.conftest import Cli, Mission, make_shop

COLUMNS = 100
DEVICE = b"\x1b[?62;c"
REPLIES = {
    "kitty": b"\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.35)\x1b\\\x1b[6;20;10t" + DEVICE,
    "iterm": b"\x1bP>|iTerm2 3.5.0\x1b\\" + DEVICE,
    "sixel": b"\x1bP>|foot(1.16)\x1b\\\x1b[6;16;8t\x1b[?62;4;22c",
    "blocks": b"\x1b[?1;2c",
    "silent": b"",
}


def in_terminal(folder: Path, reply: bytes, arguments: list[str], **environment: str) -> bytes:
    """Run a command line on a terminal of its own that answers the questions so; all that it was sent."""
    child, master = pty.fork()
    if not child:
        os.chdir(folder)
        command = [sys.executable, "-m", "dmlcli", *arguments]
        os.execvpe(command[0], command, os.environ | {"TERM": "xterm-256color"} | environment)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    sent, answered, deadline = b"", False, time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                chunk = os.read(master, 1 << 16)
            except OSError:  # Linux says so when the other side is closed
                break
            if not chunk:
                break
            sent += chunk
            if not answered and sent.endswith(b"\x1b[c"):
                answered = True
                os.write(master, reply)
    finally:
        os.close(master)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, sent
    return sent


@pytest.fixture(scope="module")
def seen(mission: Mission) -> dict[str, bytes]:
    """What each kind of terminal is sent for the same query."""
    photo = str(mission.images()[7].relative_to(mission.folder))
    arguments = ["query", photo, "-k", "3", "--show"]
    return {kind: in_terminal(mission.folder, reply, arguments) for kind, reply in REPLIES.items()}


def of_png(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def same(picture: np.ndarray, mission: Mission) -> bool:
    """Whether the first two tiles, the query and its first hit, show the photo that was asked with."""
    tile = picture.shape[0]
    gap = max(tile // 16, 2)
    with Image.open(mission.images()[7]) as photo:
        small = photo.convert("RGB").resize((tile, tile))
    asked, found = picture[:, :tile], picture[:, tile + gap : 2 * tile + gap]
    border = max(tile // 8, 2)
    inner = slice(border, -border)
    wanted = np.asarray(small, dtype=float)[inner, inner]
    return all(abs(shown[inner, inner] - wanted).mean() < 14 for shown in (asked, found))


def test_kitty_gets_a_png_in_pieces(seen: dict[str, bytes], mission: Mission) -> None:
    pieces = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", seen["kitty"].partition(b"\x1b[c")[2])
    assert pieces[0][0].startswith(b"a=T,f=100") and all(len(data) <= 4096 for _, data in pieces)
    assert [b"m=1" in keys for keys, _ in pieces] == [True] * (len(pieces) - 1) + [False]
    assert same(of_png(base64.b64decode(b"".join(data for _, data in pieces))), mission)


def test_iterm_gets_an_inline_file(seen: dict[str, bytes], mission: Mission) -> None:
    found = re.search(rb"\x1b\]1337;File=size=(\d+);[^:]*inline=1:([^\x07]*)\x07", seen["iterm"])
    assert found is not None
    data = base64.b64decode(found[2])
    assert len(data) == int(found[1]) and same(of_png(data), mission)


def of_sixel(data: bytes) -> np.ndarray:
    """A picture from its sixels, as a terminal draws them."""
    found = re.search(rb'\x1bPq"1;1;(\d+);(\d+)(.*?)\x1b\\', data, re.DOTALL)
    assert found is not None
    width, height = int(found[1]), int(found[2])
    picture = np.zeros((height + 6, width, 3))
    palette: dict[int, list[float]] = {}
    top, left, color = 0, 0, 0
    for token in re.finditer(rb"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])", found[3]):
        if token[1]:
            color = int(token[1])
            if token[2]:
                palette[color] = [int(token[place]) * 2.55 for place in (2, 3, 4)]
        elif token[8]:
            left = 0
            top += 6 if token[8] == b"-" else 0
        else:
            count, sign = int(token[5] or 1), (token[6] or token[7])[0] - 63
            for bit in range(6):
                if sign >> bit & 1:
                    picture[top + bit, left : left + count] = palette[color]
            left += count
    return picture[:height]


def test_a_sixel_terminal_gets_sixels(seen: dict[str, bytes], mission: Mission) -> None:
    assert same(of_sixel(seen["sixel"]), mission)


def of_blocks(data: bytes) -> np.ndarray:
    rows = []
    for line in data.decode().splitlines():
        cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", line)
        if cells:
            numbers = np.array(cells, dtype=float)
            rows += [numbers[:, :3], numbers[:, 3:]]
    return np.stack(rows)


@pytest.mark.parametrize("kind", ["blocks", "silent"])
def test_any_other_terminal_gets_half_blocks(seen: dict[str, bytes], mission: Mission, kind: str) -> None:
    picture = of_blocks(seen[kind])
    assert picture.shape[1] < COLUMNS and same(picture, mission)


@pytest.mark.parametrize("kind", REPLIES)
def test_the_table_stands_below_and_nothing_else_is_typed(seen: dict[str, bytes], kind: str) -> None:
    assert b"score" in seen[kind]
    assert not any(part in seen[kind] for part in (b";OK", b"|kitty", b"|iTerm2", b"|foot"))  # no echo


def test_a_dumb_terminal_gets_the_table_alone(mission: Mission) -> None:
    photo = str(mission.images()[7].relative_to(mission.folder))
    sent = in_terminal(mission.folder, b"", ["query", photo, "-k", "2", "--show"], TERM="dumb")
    assert b"\x1b" not in sent and b"score" in sent


def test_pictures_need_a_terminal(mission: Mission, cli: Cli) -> None:
    for more in ([], ["--format", "jsonl"], ["--format", "table"]):
        found = cli("query", mission.images()[0], "-w", mission.workspace, "--show", *more)
        assert found.code == 2 and "--sheet" in found.err


def test_a_row_fits_whatever_the_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(make_shop(tmp_path / "shop") / "product-00" / "0.png")
    answer = Answer("q", tuple(Hit(rank, 0.5, "mug", image) for rank in range(1, 11)), photos=(Path(image),))
    for columns in (20, 80, 300):
        terminal_images.show(answer, terminal_images.Terminal("blocks", columns=columns))
        assert of_blocks(capsys.readouterr().out.encode()).shape[1] <= columns
    assert strip(answer, 16, 3).size == (3 * 16 + 2 * 2, 16)
