"""A training that is killed in any of its stages goes on to the very model that it would have ended with.

Some 25 trainings: too long for CI.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmlcli.model import open_model
from tests.commands.test_train import market, place  # noqa: F401 (fixtures)
from tests.conftest import process

KILLS = 3  # in each stage


@pytest.mark.slow
def test_killed_in_any_stage_it_ends_with_the_same_weights(
    market: Path,  # noqa: F811
    place: Path,  # noqa: F811
    random_weights: Path,
    tmp_path: Path,
) -> None:
    """Three kills in each stage, at random moments of the time that it took without one."""
    network = ["--backbone", "alexnet", "--weights", str(random_weights), "--dim", "8"]
    options = [*network, "--views", "2", "--for", "seen", "--tune", "head", "--epochs", "3", "--patience", "0"]
    command = [sys.executable, "-m", "dmlcli", "train", str(market), "--progress", "jsonl"]
    whole = copied(place, tmp_path / "whole")
    seconds, alone = dict[str, float](), subprocess.Popen([*command, *options, "-w", whole], stderr=subprocess.PIPE)
    for stage, moment in stages(alone):
        seconds[stage] = moment  # its last event
    assert alone.wait() == 0 and {"folds", "head", "final fit", "export", "index"} <= seconds.keys(), seconds
    expected, kills = open_model(whole / "model").record, list[str]()
    assert expected.products and expected.head["kind"] != "identity"  # the frozen backbone would be the same anyway
    for number, stage in enumerate([*seconds] * KILLS):
        broken = copied(place, tmp_path / f"broken {number}")
        running = subprocess.Popen([*command, *options, "-w", broken], stderr=subprocess.PIPE)
        if any(found == stage for found, _ in stages(running)):  # its first event
            time.sleep(random.uniform(0, seconds[stage]))
        running.kill()
        if running.wait() == 0 or not any(broken.glob("runs/*/run.json")):
            continue  # it was done sooner this time, or the run had not begun
        kills.append(stage)
        done = process("train", market, "-w", broken, "--resume", cwd=tmp_path)
        assert done.returncode == 0, (stage, done.stderr.decode())
        assert open_model(broken / "model").record.fingerprint == expected.fingerprint, stage
        shutil.rmtree(broken)
    print(f"killed in {kills}")
    assert len(kills) >= 2 * len(seconds), kills


def copied(place: Path, workspace: Path) -> Path:  # noqa: F811
    """A new workspace with the frozen backbone."""
    shutil.copytree(place / "frozen", workspace / "frozen")
    return workspace


def stages(running: "subprocess.Popen[bytes]") -> Iterator[tuple[str, float]]:
    """Yield the stage of each event of --progress jsonl, and how long the stage has taken."""
    assert running.stderr is not None
    stage, began = "", 0.0
    for line in running.stderr:
        event = json.loads(line) if line.startswith(b"{") else {}
        if event.get("event") == "progress" and event["stage"]:
            if event["stage"] != stage:
                stage, began = event["stage"], event["elapsed"]
            yield stage, event["elapsed"] - began
