"""dmlcli doctor: every planted problem is found, and a clean catalog is called clean."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dmlcli
from dmlcli.report.doctor import DoctorReport
from tests.conftest import SAMPLE, Cli, encoded, process
from tests.places import SHARED

KEYS = ["schema", "path", "problem", "other", "suggestion", "severity", "detail"]
GROCERY = SHARED / "data" / "grocery"


def picture(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A picture like no other: soft blobs of color."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC)


def write(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Three products of two categories, two photos each, nothing wrong."""
    for number, name in enumerate(("tool/saw", "tool/file", "fruit/pear")):
        for shot in range(2):
            write(tmp_path / "shop" / name / f"{shot}.png", encoded(picture(10 * number + shot)))
    return tmp_path / "shop"


def found(cli: Cli, *arguments: object) -> dict[str, list[dict[str, str]]]:
    """Problems by their kind, with the exit code checked against them."""
    shown = cli("doctor", *arguments, "--format", "jsonl")
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert all(list(row) == KEYS and row["schema"] == 1 and row["suggestion"] for row in rows)
    assert shown.code == int(any(row["severity"] == "problem" for row in rows))
    return {kind: [row for row in rows if row["problem"] == kind] for kind in {row["problem"] for row in rows}}


def test_a_clean_catalog_is_called_clean(cli: Cli, clean: Path) -> None:
    shown = cli("doctor", clean)
    assert shown.code == 0 and "6 images of 3 products; 2 categories" in shown.out and "no problems" in shown.out
    assert not found(cli, clean)


def test_the_sample_catalog_is_clean(cli: Cli) -> None:
    assert not found(cli, SAMPLE / "catalog")


WHOLE = encoded(picture(77, (200, 200)), "JPEG")
TURNED = Image.Exif()
TURNED[0x0112] = 8
FILES = {
    "unreadable": ("text.jpg", b"this is no image"),
    "truncated": ("cut.jpg", WHOLE[: len(WHOLE) // 2]),
    "tiny": ("tiny.png", encoded(picture(1, (31, 60)))),
    "long": ("long.png", encoded(picture(2, (40, 240)))),
    "blank": ("white.png", encoded(Image.new("RGB", (64, 64), "white"))),
    "cmyk": ("print.jpg", encoded(picture(3).convert("CMYK"), "JPEG")),
    "16-bit": ("deep.png", encoded(Image.fromarray(np.asarray(picture(4).convert("L")).astype(np.uint16) * 257))),
    "palette": ("few.gif", encoded(picture(5).convert("P"), "GIF")),
    "alpha": ("glass.png", encoded(picture(6).convert("RGBA"))),
    "rotated": ("turned.jpg", encoded(picture(7), "JPEG", exif=TURNED)),
}
NOTICES = {"palette", "alpha", "rotated", "huge", "single-photo"}


@pytest.mark.parametrize("kind", FILES)
def test_one_odd_file_is_found(kind: str, cli: Cli, clean: Path) -> None:
    name, data = FILES[kind]
    file = write(clean / "tool" / "saw" / name, data)
    rows = found(cli, clean)
    assert list(rows) == [kind]
    assert rows[kind][0]["path"] == str(file) and (rows[kind][0]["severity"] == "notice") == (kind in NOTICES)


def test_a_huge_photo_is_noticed(cli: Cli, clean: Path) -> None:
    noise = np.zeros((8100, 8000), dtype=np.uint8)
    noise[:4000] = 255
    file = write(clean / "tool" / "saw" / "poster.png", encoded(Image.fromarray(noise), compress_level=1))
    assert [row["path"] for row in found(cli, clean)["huge"]] == [str(file)]


@pytest.mark.parametrize(
    ("target", "kind"), [("tool/saw/copy.png", "duplicate"), ("fruit/pear/stolen.png", "two-products")]
)
def test_a_copied_file_is_found(target: str, kind: str, cli: Cli, clean: Path) -> None:
    original = clean / "tool" / "saw" / "0.png"
    copy = write(clean / target, original.read_bytes())
    (row,) = found(cli, clean)[kind]
    assert {row["path"], row["other"]} == {str(original), str(copy)}


@pytest.mark.parametrize(
    ("target", "kind"), [("tool/saw/copy.jpg", "near-duplicate"), ("fruit/pear/stolen.jpg", "two-products")]
)
def test_a_copied_picture_is_found(target: str, kind: str, cli: Cli, clean: Path) -> None:
    copy = write(clean / target, encoded(picture(0).resize((150, 130)), "JPEG", quality=60))
    rows = found(cli, clean)
    assert list(rows) == [kind] and str(copy) in (rows[kind][0]["path"], rows[kind][0]["other"])


def test_a_photo_in_two_splits_is_found(cli: Cli, clean: Path, tmp_path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        shutil.copytree(clean, tmp_path / "splits" / split)
        for place, file in enumerate(sorted((tmp_path / "splits" / split).rglob("*.png"))):
            file.write_bytes(encoded(picture(1000 * (1 + number) + place)))
    assert not found(cli, tmp_path / "splits")
    seen = tmp_path / "splits" / "train" / "tool" / "saw" / "0.png"
    leak = write(tmp_path / "splits" / "test" / "tool" / "saw" / "2.png", seen.read_bytes())
    (row,) = found(cli, tmp_path / "splits")["across-splits"]
    assert {row["path"], row["other"]} == {str(seen), str(leak)} and "splits t" in row["detail"]


def test_products_are_looked_at_too(cli: Cli, clean: Path) -> None:
    write(clean / "tool" / "drill" / "0.png", encoded(picture(90)))
    write(clean / "fruit" / "saw" / "0.png", encoded(picture(91)))
    rows = found(cli, clean)
    assert {kind: len(row) for kind, row in rows.items()} == {"single-photo": 1, "homonym": 1}
    assert rows["single-photo"][0]["severity"] == "notice" and rows["homonym"][0]["detail"].startswith("saw is in")


def test_rows_of_a_table_without_a_file_are_missing(cli: Cli, clean: Path, tmp_path: Path) -> None:
    rows = [f"shop/{file.relative_to(clean)},{file.parent.name}" for file in sorted(clean.rglob("*.png"))]
    (tmp_path / "photos.csv").write_text("\n".join(["path,product", *rows, "shop/gone.png,saw"]))
    problems = found(cli, tmp_path / "photos.csv")
    assert [row["path"] for row in problems["missing"]] == [str(tmp_path / "shop/gone.png")] and len(problems) == 1


def test_series_of_shots_are_found(cli: Cli, clean: Path) -> None:
    """Two days at the shelf: what a photo shows is mostly the day."""
    for product in range(3):
        for day in ("mon", "tue"):
            shelf = np.asarray(picture(3000 + 2 * product + (day == "tue"))).astype(np.float64)
            for shot in range(8):
                own = np.asarray(picture(5000 + 100 * product + 10 * shot + (day == "tue"))).astype(np.float64)
                mixed = Image.fromarray((0.65 * shelf + 0.35 * own).astype(np.uint8))
                write(clean / "shelf" / f"p{product}" / f"{day}_{shot:03}.png", encoded(mixed))
    rows = found(cli, clean)["series"]
    assert len(rows) == 3 and all("mon_000-007 (8), tue_000-007 (8)" in row["detail"] for row in rows)


def test_the_table_groups_and_json_tells_all(cli: Cli, clean: Path) -> None:
    for number in range(5):
        write(clean / "tool" / "saw" / f"broken{number}.jpg", b"\xff\xd8\xff no")
    shown = cli("doctor", clean)
    assert shown.code == 1 and "unreadable files: 5" in shown.out and "… and 2 more" in shown.out
    assert "tool/saw/broken0.jpg" in shown.out and "5 problems" in shown.out and "images  products" in shown.out
    whole = json.loads(cli("doctor", clean, "--format", "json").out)
    assert list(whole) == ["schema", "catalog", "root", "census", "problems"] and len(whole["problems"]) == 5
    assert whole["census"]["histogram"] == [[2, 2, 2], [7, 7, 1]]


def test_the_function_gives_problems_as_they_are_found(clean: Path) -> None:
    write(clean / "tool" / "saw" / "broken.jpg", b"\xff\xd8\xff no")
    report = dmlcli.doctor(clean)
    assert isinstance(report, DoctorReport) and next(iter(report.problems)).problem == "unreadable"


def test_a_closed_pipe_is_silent(tmp_path: Path) -> None:
    for number in range(300):
        write(tmp_path / "shop" / "a" / f"{number}.png", encoded(Image.new("RGB", (40, 40), (number % 256, 1, 2))))
    command = f"{sys.executable} -m dmlcli doctor shop --format jsonl | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert json.loads(done.stdout)["problem"] == "blank" and b"Traceback" not in done.stderr


def test_there_is_no_catalog(tmp_path: Path, cli: Cli) -> None:
    shown = cli("doctor", tmp_path / "nowhere", "--format", "jsonl")
    assert shown.code == 4 and json.loads(shown.err)["hint"]


@pytest.mark.skipif(not GROCERY.is_dir(), reason="needs the grocery photos in ../shared/data")
def test_the_grocery_series_are_reported(cli: Cli) -> None:
    rows = found(cli, GROCERY / "apple")
    assert len(rows["series"]) == 5 and set(rows) <= {"series", "near-duplicate"}
    assert any("train_pink-lady_001-059 (59)" in row["detail"] for row in rows["series"])


@pytest.mark.slow
@pytest.mark.skipif(not GROCERY.is_dir(), reason="needs the grocery photos in ../shared/data")
def test_the_whole_grocery_takes_less_than_a_minute_and_half_a_gigabyte(tmp_path: Path) -> None:
    import resource

    began = time.monotonic()
    done = process("doctor", GROCERY, "--format", "jsonl", cwd=tmp_path)
    assert time.monotonic() - began < 60 and done.returncode == 1
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 500_000
    kinds = Counter(json.loads(line)["problem"] for line in done.stdout.splitlines())
    assert kinds["series"] == 81 and set(kinds) == {"series", "near-duplicate"}


@pytest.mark.skipif(not GROCERY.is_dir(), reason="needs the grocery photos in ../shared/data")
def test_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    write(tmp_path / "shop" / "a" / "white.png", encoded(Image.new("RGB", (64, 64), "white")))
    (tmp_path / "shop" / "b").symlink_to(GROCERY)
    command = [sys.executable, "-m", "dmlcli", "doctor", "shop", "--format", "jsonl"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert running.stdout is not None and json.loads(running.stdout.readline())["problem"] == "blank"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 130 and out == b"" and b"Traceback" not in err
