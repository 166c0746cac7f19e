"""What is shown of a run of several stages where there is no terminal, and that it is shown in time."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmlcli import progress
from dmlcli.cli.progress_bar import Teller
from tests.conftest import SAMPLE, Cli

LONGEST = 3.0  # seconds between two lines


def test_programs_read_every_event_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller(progress="jsonl")
    progress.listen(teller)
    progress.plan({"load": 2.0, "index": 1.0})
    progress.stage("load")
    progress.note("a note")
    progress.warn("a\x1b[31m warning")
    assert list(progress.track(range(3), "photos")) == [0, 1, 2]
    progress.learned(progress.Pass("head", 3, 20, 1.0, 1e-3, 1.0, {"seen": (0.5, None)}, False, 100.0, 1.0))
    progress.stage("")
    teller.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert lines[0] == {"event": "plan", "stages": ["load", "index"], "left": 3.0}
    assert [line["event"] for line in lines] == ["plan", "progress", "note", "warning", "epoch", "progress"]
    assert lines[1]["stage"] == "load" and lines[3]["message"] == "a\x1b[31m warning"
    assert (lines[4]["epoch"], lines[4]["scores"]["seen"]["map@r"]) == (3, 0.5)
    assert (lines[5]["share"], lines[5]["left"]) == (1.0, 0.0)


def test_people_read_the_stages_at_once_then_a_line_for_each_tenth(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    progress.listen(teller)
    progress.plan({"load": 1.0, "index": 59.0})
    assert capfd.readouterr().err == "stages: load, index; about 60 s\n"
    progress.stage("load")
    assert list(progress.track(range(3), "photos")) == [0, 1, 2]
    assert capfd.readouterr().err == ""
    progress.stage("index")
    progress.stage("")
    teller.close()
    assert capfd.readouterr().err.startswith("100 %")
    quiet = Teller(quiet=True)
    progress.listen(quiet)
    progress.plan({"load": 1.0})
    progress.stage("load")
    assert capfd.readouterr().err == ""


def test_a_command_without_stages_counts_what_it_does(cli: Cli, shop: Path, tmp_path: Path) -> None:
    found = cli("embed", shop, "-w", tmp_path / "w", "--backbone", "descriptor", "--progress", "jsonl")
    assert found.code == 0 and {json.loads(line)["event"] for line in found.err.splitlines()} >= {"note"}


@pytest.mark.slow
def test_no_three_seconds_of_a_training_are_silent(tmp_path: Path) -> None:
    """Also while torch is imported and a network is exported, which replaces sys.stderr."""
    command = [sys.executable, "-m", "dmlcli", "train", str(SAMPLE / "catalog"), "--progress", "jsonl"]
    began = last = time.monotonic()
    gaps, totals, stages = [], [], []
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert running.stderr is not None
        for line in running.stderr:
            now = time.monotonic()
            gaps.append(now - last)
            last = now
            event = json.loads(line) if line.startswith(b"{") else {}
            stages += event.get("stages", [])
            if event.get("event") == "progress":
                totals.append((now - began, now - began + event["left"]))
    seconds = time.monotonic() - began
    print(f"longest gap {max(gaps):.1f} s of {seconds:.0f} s; totals {totals[:: max(1, len(totals) // 10)]}")
    assert running.returncode == 0 and max(gaps) <= LONGEST and time.monotonic() - last <= LONGEST
    assert stages == ["load", "features", "folds", "head", "final fit", "export", "index"]
