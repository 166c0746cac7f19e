"""One process over 5,000 lines, 200 of them bad in every way: each is answered or skipped, and memory stays flat."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import zlib
from itertools import cycle
from pathlib import Path

import pytest

from tests.conftest import encoded, make_shop, photo, process

LINES, BAD = 5000, 200


def bad_lines(folder: Path) -> list[bytes]:
    """One line of each kind that cannot be answered."""
    folder.mkdir()
    good = encoded(photo(1), "JPEG", quality=95)
    files = {
        "empty.jpg": b"",
        "text.jpg": b"<html>not found</html>",
        "cut.jpg": good[: len(good) // 2],
        "cut.png": encoded(photo(1))[:-200],
        "header.jpg": good[:20],
        "noise.jpg": os.urandom(4000),
        "bomb.png": encoded(photo(1))[:16] + (60_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0",
        "many.txt": b"a.jpg\n" * 1000,
    }
    for name, data in files.items():
        if name == "bomb.png":
            data += zlib.crc32(data[12:]).to_bytes(4)
        (folder / name).write_bytes(data)
    with (folder / "sparse.jpg").open("wb") as stream:
        stream.truncate(3 << 30)
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "round.jpg").symlink_to("round.jpg")
    (folder / "broken.jpg").symlink_to("nowhere.jpg")
    (folder / "closed.jpg").write_bytes(good)
    (folder / "closed.jpg").chmod(0)
    names = [*files, "sparse.jpg", "folder.jpg", "pipe.jpg", "round.jpg", "broken.jpg", "missing.jpg", "text.jpg/a.jpg"]
    if os.geteuid():  # root may read what it pleases
        names.append("closed.jpg")
    paths = [os.fsencode(folder / name) for name in names]
    others = [b"a\0b.jpg", b"\0", b"x" * 304, b"y" * 50_000, b"caf\xe9.jpg", b"\xff\xff\xfe", b"-", b"--help", b"."]
    others += [b"https://example.com/a.jpg", b"s3://bucket/a.jpg", b"/dev/zero", b"/dev/null", b"/proc/kmsg", b"/"]
    others += [b"nowhere.tar/a.jpg", b"~/a.jpg", b'"a.jpg"', b"a.jpg,mug", b"\x1b[2J.jpg", b"z" * 4090 + b"/a.jpg"]
    return paths + others


def resident(process: int) -> float:
    """The memory of a process in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_every_line_is_answered_or_skipped_in_flat_memory(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop", 20, 5)
    assert process("index", shop, "-w", tmp_path / "w", cwd=tmp_path).returncode == 0
    bad = cycle(bad_lines(tmp_path / "bad"))
    good = cycle(sorted(map(os.fsencode, shop.rglob("*.png"))))
    every = LINES // BAD
    lines = [next(bad if place % every == 7 else good) for place in range(LINES)]
    expected = [os.fsdecode(line) for place, line in enumerate(lines) if place % every != 7]

    command = [sys.executable, "-m", "dmlcli", "query", "--files-from", "-", "-k", "1", "--format", "jsonl", "-w", "w"]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **streams) as running:  # type: ignore[call-overload]
        said = io.BytesIO()
        writer = threading.Thread(target=lambda: (running.stdin.write(b"\n".join(lines)), running.stdin.close()))
        reader = threading.Thread(target=lambda: said.write(running.stderr.read()))
        writer.start()
        reader.start()
        answered, memory = [], []
        for line in running.stdout:
            answered.append(json.loads(line)["query"])
            memory.append(resident(running.pid))
        writer.join()
        reader.join()
        code = running.wait(60)
    errors = said.getvalue().decode(errors="replace")
    assert answered == expected and code == 3, errors
    assert sum(map(int, re.findall(r"skipped (\d+)", errors))) == BAD and "Traceback" not in errors
    growth = max(memory[500:]) - memory[500]
    print(f"memory after 500 answers {memory[500]:.0f} MB, at most {growth:+.1f} MB later; {memory[::500]}")
    assert growth < 20
