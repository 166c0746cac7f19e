"""The second line of the mission: photos in by every way, hits out in every format, and nothing silently dropped."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import SAMPLE, Cli, Mission, make_shop, process

ROW = ["rank", "score", "product", "image"]
HIT = [*ROW, "category", "cosine", "images", "columns", "box", "confidence", "id"]
ANSWER = ["query", "hits", "closest", "min_score", "match", "min_match", "crop"]


@pytest.fixture
def photo(mission: Mission, monkeypatch: pytest.MonkeyPatch) -> str:
    """An indexed image, named from the folder of the mission, in which the test runs."""
    monkeypatch.chdir(mission.folder)
    return str(mission.images()[7].relative_to(mission.folder))


def lines(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_an_indexed_image_comes_first_with_score_one(mission: Mission, photo: str) -> None:
    done = process("query", photo, "--by", "image", cwd=mission.folder)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = lines(done.stdout.decode())
    assert rows[0][1] == "1" and f"{float(rows[0][2]):.3f}" == "1.000"
    assert rows[0] == [photo, "1", rows[0][2], Path(photo).parent.name, photo]
    assert [row[1] for row in rows] == [str(rank) for rank in range(1, 11)]
    scores = [float(row[2]) for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_every_indexed_image_finds_itself(mission: Mission, photo: str, cli: Cli) -> None:
    found = cli("query", "catalog", "-k", 1, "--by", "image")
    rows = lines(found.out)
    assert len(rows) == 100 and all(row[0] == row[4] and float(row[2]) > 0.9995 for row in rows)


def test_a_photo_from_elsewhere_finds_hits(mission: Mission, photo: str, cli: Cli) -> None:
    """A snapshot that is not in the catalog: right more often than by chance, one product in twenty."""
    names = sorted(folder.name for folder in mission.catalog.glob("*/*"))
    shots = [SAMPLE / "queries" / name / "1.jpg" for name in names]
    rows = lines(cli("query", *shots, "-k", 1).out)
    right = sum(Path(row[0]).parent.name == row[3] for row in rows)
    assert len(rows) == 20 and right >= 6


def test_crop_auto_finds_a_product_in_a_corner_and_draws_the_frame(
    mission: Mission, photo: str, cli: Cli, tmp_path: Path
) -> None:
    small = Image.open(photo).convert("RGB").resize((200, 200))
    scene = Image.new("RGB", (400, 400), "#808080")
    scene.paste(small, (200, 0))
    file = tmp_path / "scene.png"
    scene.save(file)
    sheet = tmp_path / "sheet.png"
    found = cli("query", file, "-k", 1, "--crop", "auto", "--format", "json", "--sheet", sheet)
    (answer,) = json.loads(found.out)["answers"]
    left, top, right, bottom = answer["crop"]
    assert left > 120 and right > 360 and top < 40 and bottom < 280
    assert answer["hits"][0]["product"] == Path(photo).parent.name
    plain = json.loads(cli("query", file, "-k", 1, "--format", "json").out)["answers"][0]
    assert plain["crop"] is None and plain["hits"][0]["cosine"] < answer["hits"][0]["cosine"]
    blue = [color for _, color in Image.open(sheet).convert("RGB").crop((30, 60, 190, 220)).getcolors(1 << 16) or []]
    assert (37, 99, 235) in blue  # the frame inside the tile


def test_the_match_of_an_image_with_itself_is_drawn(photo: str, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "match.png"
    assert cli("query", photo, "-k", 2, "--explain-match", target).code == 0
    with Image.open(target) as sheet:
        assert sheet.width > 2 * sheet.height  # two pairs in one line
    assert cli("query", photo, "--explain-match", tmp_path / "match.txt").code == 2
    assert cli("query", photo, photo, "--fuse", "--explain-match", target).code == 2


def test_a_missing_photo_is_an_error_with_a_hint(photo: str, cli: Cli) -> None:
    found = cli("query", "missing.jpg")
    assert (found.code, found.out) == (4, "")
    assert found.err.splitlines()[0] == "dmlcli: error: missing.jpg: file not found in the folder ."
    assert found.err.splitlines()[1].startswith("hint: ")


def test_an_error_is_json_if_json_is_requested(photo: str, cli: Cli) -> None:
    for format in ("json", "jsonl"):
        found = cli("query", "missing.jpg", "--format", format)
        assert (found.code, found.out) == (4, "")
        report = json.loads(found.err)
        assert list(report) == ["schema", "error", "hint", "exit_code"]
        assert (report["schema"], report["exit_code"]) == (1, 4) and "missing.jpg" in report["error"] and report["hint"]


def test_jsonl_is_one_object_for_each_photo(photo: str, cli: Cli) -> None:
    found = cli("query", photo, photo, "-k", 3, "--format", "jsonl")
    for line in found.out.splitlines():
        answer = json.loads(line)
        assert list(answer) == ["schema", *ANSWER]
        assert (answer["schema"], answer["query"], len(answer["hits"])) == (1, photo, 3)
        assert all(list(hit) == HIT for hit in answer["hits"])
        assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3]
        assert answer["hits"][0]["image"] == photo and round(answer["hits"][0]["cosine"], 3) == 1.0
    assert (found.code, len(found.out.splitlines())) == (0, 2)


def test_json_is_one_object(photo: str, cli: Cli, mission: Mission) -> None:
    found = cli("query", photo, "broken.jpg", "-k", 2, "--format", "json")
    whole = json.loads(found.out)
    assert list(whole) == ["schema", "index", "answers", "skipped"]
    assert whole["index"] == str(mission.workspace / "index")
    assert [list(answer) for answer in whole["answers"]] == [ANSWER]
    assert [list(hit) for hit in whole["answers"][0]["hits"]] == [HIT, HIT]
    assert whole["skipped"] == [{"path": "broken.jpg", "reason": "file not found in the folder ."}]


def test_csv_has_a_header(photo: str, cli: Cli) -> None:
    rows = list(csv.reader(io.StringIO(cli("query", photo, "-k", 2, "--format", "csv").out)))
    assert rows[0] == ["query", *ROW, "confidence", "category"] and len(rows) == 3 and rows[1][4] == photo


def test_tsv_has_none_and_is_what_a_pipe_gets(photo: str, cli: Cli) -> None:
    assert cli("query", photo, "--format", "tsv") == cli("query", photo)
    assert len(lines(cli("query", photo, "-k", 2).out)[0]) == 5


def test_paths_end_with_newline_or_nul(photo: str, cli: Cli) -> None:
    found = cli("query", photo, "-k", 2, "--format", "paths").out
    assert found.splitlines()[0] == photo and len(found.splitlines()) == 2
    assert cli("query", photo, "-k", 2, "--format", "paths", "-0").out == found.replace("\n", "\0")


def test_a_table_names_product_and_score(photo: str, cli: Cli) -> None:
    found = cli("query", photo, "-k", 2, "--by", "image", "--format", "table")
    assert "1.000" in found.out and Path(photo).parent.name in found.out and "\x1b" not in found.out


def test_a_photo_comes_on_stdin(mission: Mission, photo: str) -> None:
    data = (mission.folder / photo).read_bytes()
    done = process("query", "-", "-k", "1", cwd=mission.folder, stdin=data)
    assert done.returncode == 0
    assert lines(done.stdout.decode())[0][::4] == ["-", photo]
    done = process("query", "-", cwd=mission.folder, stdin=b"not an image")
    assert done.returncode == 4 and done.stderr.startswith(b"dmlcli: error: stdin: not an image")


@pytest.mark.parametrize(("end", "options"), [(b"\n", []), (b"\0", ["--null"])])
def test_photos_are_named_in_a_file_or_on_stdin(
    mission: Mission, end: bytes, options: list[str], tmp_path: Path, cli: Cli
) -> None:
    names = [str(path) for path in mission.images()[:3]]
    common = [*options, "-k", "1", "-w", mission.workspace]
    text = end.join(map(os.fsencode, names))
    for content in (text, text + end + end):
        (tmp_path / "list").write_bytes(content)
        found = cli("query", "--files-from", tmp_path / "list", *common)
        assert found.code == 0 and [row[0] for row in lines(found.out)] == names
    done = process("query", "--files-from", "-", *common, cwd=tmp_path, stdin=text)
    assert done.returncode == 0 and [row[0] for row in lines(done.stdout.decode())] == names


def test_a_list_that_is_not_there_is_reported(photo: str, cli: Cli) -> None:
    found = cli("query", "--files-from", "nowhere.txt")
    assert found.code == 4 and "nowhere.txt" in found.err and "hint: --files-from" in found.err


def test_a_broken_photo_among_several_is_listed(photo: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"<html>")
    found = cli("query", photo, tmp_path / "broken.jpg", "missing.jpg", photo, "-k", 1)
    assert found.code == 3 and len(lines(found.out)) == 2
    assert (
        f"{tmp_path / 'broken.jpg'}" in found.err and "missing.jpg" in found.err and found.err.count("skipped 1") == 2
    )


def test_a_broken_photo_in_a_folder_is_listed(photo: str, cli: Cli, tmp_path: Path) -> None:
    shutil.copy(photo, tmp_path / "good.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"<html>")
    (tmp_path / "notes.txt").write_text("not meant to be a photo")
    found = cli("query", tmp_path, "-k", 1)
    assert found.code == 3 and len(lines(found.out)) == 1
    assert "broken.jpg" in found.err and "notes.txt" not in found.err


def test_many_photos_broken_alike_are_grouped(photo: str, cli: Cli) -> None:
    found = cli("query", photo, *(f"missing-{number}.jpg" for number in range(40)))
    assert found.code == 3 and "skipped 40: file not found" in found.err
    assert "missing-0.jpg" in found.err and "missing-39.jpg" not in found.err


def test_nothing_close_enough_is_an_answer(photo: str, cli: Cli, tmp_path: Path) -> None:
    assert cli("query", photo, "--min-score", "0.9999").code == 0
    Image.new("RGB", (80, 80), (255, 0, 255)).save(tmp_path / "odd.png")
    found = cli("query", tmp_path / "odd.png", "--min-score", "0.999", "--format", "jsonl")
    assert found.code == 1 and json.loads(found.out)["hits"] == []


def test_a_closed_pipe_is_silent(mission: Mission) -> None:
    command = [sys.executable, "-m", "dmlcli", "query", "catalog", "-k", "40"]
    with subprocess.Popen(command, cwd=mission.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline().count(b"\t") == 4
        running.stdout.close()
        assert (running.stderr.read(), running.wait(60)) == (b"", 0)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_head_takes_what_it_wants(mission: Mission) -> None:
    script = f"{sys.executable} -m dmlcli query {mission.images()[0]} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=mission.folder, capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.splitlines()[1:] == ["0"]


def test_a_sheet_is_drawn_beside_the_hits(photo: str, cli: Cli, tmp_path: Path) -> None:
    found = cli("query", photo, "-k", 3, "--sheet", tmp_path / "sheet.png")
    assert found.code == 0 and len(lines(found.out)) == 3
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 4 * 180
    assert cli("query", photo, "--sheet", tmp_path / "nowhere" / "sheet.png").code == 4


@pytest.mark.parametrize("format", ["tsv", "paths", "jsonl", "table"])
def test_names_that_are_no_utf8_are_printed(mission: Mission, tmp_path: Path, format: str) -> None:
    """Also where the locale is strict about it, as en_US.UTF-8 is."""
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(name)).write_bytes(mission.images()[0].read_bytes())
    options = ["-k", "1", "--format", format]
    done = process("query", tmp_path, *options, cwd=mission.folder, PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 or format == "table"


def test_names_with_tabs_and_newlines_keep_their_line(mission: Mission, photo: str, cli: Cli, tmp_path: Path) -> None:
    odd = tmp_path / "a\tb\nc\\d.jpg"
    shutil.copy(photo, odd)
    (row,) = lines(cli("query", odd, "-k", 1).out)
    assert len(row) == 5 and row[0] == str(odd).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def test_a_fifo_is_not_a_photo(photo: str, cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert cli("query", tmp_path / "pipe.jpg").code == 4


def test_without_a_photo_or_a_workspace_it_says_what_to_type(mission: Mission, cli: Cli, tmp_path: Path) -> None:
    assert cli("query").code == 2
    found = cli("query", mission.images()[0], "-w", tmp_path)
    assert found.code == 4 and "hint: dmlcli index" in found.err
    found = cli("query", mission.images()[0], "-w", tmp_path / "nowhere")
    assert found.code == 4 and "no workspace" in found.err
    assert not list(tmp_path.iterdir())


def test_an_index_of_another_model_is_refused(mission: Mission, plain_model: Path, cli: Cli) -> None:
    found = cli("query", mission.images()[0], "-w", mission.workspace, "--model", plain_model)
    assert found.code == 4 and "the index was made with model" in found.err and "hint: dmlcli index" in found.err


DAMAGE: dict[str, list[bytes | None]] = {
    "model/model.json": [b"", b"{", b"[]", b'"x"', b"{}"],
    "model/graph.onnx": [None, b"", b"hello"],
    "model/graph.weights": [None, b"", b"hello"],
    "model/weights.safetensors": [None, b"", b"hello"],
    "index/index.json": [None, b"", b"{", b"[]", b"{}"],
    "index/vectors.faiss": [None, b"", b"hello"],
    "index/items.sqlite": [None, b"", b"hello" * 99],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_reported_with_a_hint_and_without_a_trace(
    workspace: Path, mission: Mission, name: str, cli: Cli
) -> None:
    for data in DAMAGE[name]:
        file = workspace / name
        if data is None:
            file.unlink()
        else:
            file.write_bytes(data)
        found = cli("query", mission.images()[0], "-w", workspace)
        assert (found.code, found.out) == (4, ""), (data, found.err)
        assert found.err.startswith("dmlcli: error: ") and "hint: " in found.err and "Traceback" not in found.err


def test_a_graph_of_the_right_size_and_the_wrong_content_is_reported(
    workspace: Path, mission: Mission, cli: Cli
) -> None:
    file = workspace / "model" / "graph.onnx"
    file.write_bytes(b"\x99" * file.stat().st_size)
    assert cli("query", mission.images()[0], "-w", workspace).code == 4


@pytest.mark.parametrize("name", ["model", "index"])
def test_what_a_crash_left_between_two_renames_is_repaired(
    workspace: Path, mission: Mission, name: str, cli: Cli
) -> None:
    (workspace / name).rename(workspace / f".{name}.previous")
    found = cli("query", mission.images()[0], "-w", workspace, "-k", 1)
    assert found.code == 0 and (workspace / name).is_dir()


def test_the_folder_may_be_moved(plain_model: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop and its workspace are one folder; renaming it must not lose the search."""
    make_shop(tmp_path / "before" / "catalog", 3, 2)
    shutil.copytree(plain_model, tmp_path / "before" / ".dmlcli" / "model")
    monkeypatch.chdir(tmp_path / "before")
    assert cli("index", "catalog").code == 0
    moved = (tmp_path / "before").rename(tmp_path / "moved")
    monkeypatch.chdir(moved)
    assert cli("query", moved / "catalog", "-k", 1).code == 0
