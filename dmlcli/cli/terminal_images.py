"""--show: images in a terminal, with the best protocol that it supports, else half blocks.

The terminal is asked, never guessed by its name: it answers on stdin within a moment (a terminal that understands
nothing still answers the last question, what kind of device it is), and what it answers decides.
"""

import base64
import io
import os
import re
import select
import sys
import termios
import time
import tty
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmlcli.pages.contact_sheet import strip
from dmlcli.report.query import Answer

if TYPE_CHECKING:
    from PIL import Image

_PATIENCE = 1.0  # seconds; every terminal in use answers in a few thousandths
# kitty's question (may I send a picture?), the name of the terminal, the size of a cell, the device (answered by all)
_QUESTIONS = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>q\x1b[16t\x1b[c"
_DEVICE = re.compile(rb"\x1b\[\?([\d;]+)c")
_CELL = re.compile(rb"\x1b\[6;(\d+);(\d+)t")
_ITERM = re.compile(rb"\x1bP>\|(iTerm2|WezTerm)")
_SIXEL = b"4"  # among the abilities of the device
_TILE, _MOST = 160, 8  # pixels of a thumbnail at most, and thumbnails in a row
_COLORS = 128  # of a sixel picture


@dataclass(frozen=True)
class Terminal:
    """The capabilities that a terminal reports."""

    way: str  # kitty, iterm, sixel or blocks
    cell: tuple[int, int] = (10, 20)  # width and height of a character in pixels
    columns: int = 80


def ask() -> Terminal:
    """Ask the terminal on stdout; one that does not answer, or cannot be asked, gets half blocks."""
    columns = os.get_terminal_size(sys.stdout.fileno()).columns
    if os.environ.get("TERM") == "dumb":
        return Terminal("none", columns=columns)
    try:
        reply = _reply()
    except (OSError, termios.error):
        reply = b""
    cell = _CELL.search(reply)
    device = _DEVICE.search(reply)
    if b"_Gi=31;OK" in reply:
        way = "kitty"
    elif _ITERM.search(reply):
        way = "iterm"
    elif device and _SIXEL in device[1].split(b";")[1:]:
        way = "sixel"
    else:
        way = "blocks"
    return Terminal(way, (int(cell[2]), int(cell[1])) if cell else Terminal.cell, columns)


def show(answer: Answer, terminal: Terminal) -> None:
    """Draw the query and its first hits in a row."""
    if terminal.way == "none":
        return
    cell_width, cell_height = terminal.cell if terminal.way != "blocks" else (1, 2)
    largest, smallest = (_TILE, _TILE // 4) if terminal.way != "blocks" else (24, 8)
    width = (terminal.columns - 1) * cell_width
    most = max(min(len(answer.hits) + 1, _MOST, width // (smallest + 2)), 1)
    tile = min(largest, width // most - largest // 16 - 1)
    tile = max(tile // cell_height * cell_height, cell_height)  # whole characters, so that the text goes on below
    draw = {"kitty": _kitty, "iterm": _iterm, "sixel": _sixel, "blocks": _blocks}[terminal.way]
    sys.stdout.write(draw(strip(answer, tile, most)) + "\n")
    sys.stdout.flush()


def _reply() -> bytes:
    """Return the terminal's answer to the queries, and restore its settings."""
    with open(os.ctermid(), "r+b", buffering=0) as device:  # noqa: PTH123
        handle = device.fileno()
        before = termios.tcgetattr(handle)
        try:
            tty.setcbreak(handle, termios.TCSAFLUSH)  # no echo, no waiting for a newline
            device.write(_QUESTIONS)
            reply, end = b"", time.monotonic() + _PATIENCE
            while not _DEVICE.search(reply):
                ready, _, _ = select.select([handle], [], [], max(end - time.monotonic(), 0))
                if not ready:
                    break
                reply += os.read(handle, 1024)
            return reply
        finally:
            termios.tcsetattr(handle, termios.TCSAFLUSH, before)


def _png(row: "Image.Image") -> bytes:
    stream = io.BytesIO()
    row.save(stream, "PNG")
    return stream.getvalue()


def _kitty(row: "Image.Image") -> str:
    """Return an image in kitty's graphics protocol: PNG in chunks of at most 4,096 characters."""
    data = base64.b64encode(_png(row)).decode("ascii")
    pieces = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    parts = [f"\x1b_Ga=T,f=100,m={int(len(pieces) > 1)};{pieces[0]}\x1b\\"]
    parts += [f"\x1b_Gm={int(place < len(pieces) - 1)};{piece}\x1b\\" for place, piece in enumerate(pieces) if place]
    return "".join(parts)


def _iterm(row: "Image.Image") -> str:
    """Return an image in iTerm2's inline format."""
    data = _png(row)
    size = f"size={len(data)};width={row.width}px;height={row.height}px;inline=1"
    return f"\x1b]1337;File={size}:{base64.b64encode(data).decode('ascii')}\x07"


def _sixel(row: "Image.Image") -> str:
    """Return an image as DEC sixels: bands of six rows, with one line for each color of the band."""
    reduced = row.quantize(_COLORS)
    codes = np.asarray(reduced)  # (H, W)
    palette = np.reshape(reduced.getpalette() or [], (-1, 3)) * 100 // 255  # sixels count in per cent
    out = [f'\x1bPq"1;1;{row.width};{row.height}']
    out += [f"#{color};2;{red};{green};{blue}" for color, (red, green, blue) in enumerate(palette.tolist())]
    for top in range(0, row.height, 6):
        band = codes[top : top + 6]
        bits = (1 << np.arange(len(band)))[:, None]
        lines = (f"#{c}" + _run_lengths(((band == c) * bits).sum(axis=0) + 63) for c in np.unique(band).tolist())
        out.append("$".join(lines) + "-")
    return "".join(out) + "\x1b\\"


def _run_lengths(codes: NDArray[np.int64]) -> str:
    """Return the characters, with a count before repeated ones."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    counts = np.diff(starts, append=len(codes))
    signs = [chr(code) for code in codes[starts].tolist()]
    return "".join(
        f"!{count}{sign}" if count > 3 else sign * count for sign, count in zip(signs, counts.tolist(), strict=True)
    )


def _blocks(row: "Image.Image") -> str:
    """Return two pixels per character: upper half blocks with foreground and background colors."""
    lines, pixels = [], np.asarray(row)
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        cells = (
            f"\x1b[38;2;{u[0]};{u[1]};{u[2]};48;2;{d[0]};{d[1]};{d[2]}m▀" for u, d in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)
