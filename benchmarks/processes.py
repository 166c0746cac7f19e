"""A whole short training by one process and by several: the same recipe, catalog and seeds, and where each ends.

    python benchmarks/processes.py CATALOG [--processes 2] [--seeds 5] [-- OPTIONS OF TRAIN]

Each line is a seed: MAP@R of the last epoch's network in validation, and of the final model, by one process and
by all, and how long the epochs took. Both start from one workspace with the features of the frozen backbone in it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from dmlcli import runs


class Ending(NamedTuple):
    """How a run ended: its last epoch's loss and MAP@R, the MAP@R of the final model, and seconds of all epochs."""

    loss: float
    last: float
    final: float
    seconds: float


def train(catalog: Path, workspace: Path, seed: int, processes: int, options: list[str]) -> Ending:
    """One run as a user would start it."""
    line = ["train", str(catalog), "-w", str(workspace), "--no-index", "--patience", "0", "--seed", str(seed), *options]
    command = [sys.executable, "-m", "dmlcli", *line, "--processes", str(processes), "--format", "json", "--quiet"]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    report: dict[str, Any] = json.loads(done.stdout)
    rows = [row for row in runs.read_metrics(workspace / "runs" / report["run"]) if row.get("epoch")]
    return Ending(rows[-1]["loss"], rows[-1]["map@r"], report["score"], sum(row["seconds"] for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("options", nargs="*", help="of train, after --")
    asked = parser.parse_args()
    alone, shared = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            workspace = Path(folder) / "w"
            alone.append(train(asked.catalog, workspace, seed, 1, asked.options))
            shared.append(train(asked.catalog, workspace, seed, asked.processes, asked.options))
            one, all = alone[-1], shared[-1]
            pairs = {
                "loss": (one.loss, all.loss),
                "last epoch": (100 * one.last, 100 * all.last),
                "final": (100 * one.final, 100 * all.final),
                "seconds": (one.seconds, all.seconds),
            }
            print(f"seed {seed}", *(f"{name} {first:.2f} {second:.2f}" for name, (first, second) in pairs.items()))
    for name, endings in (("1 process", alone), (f"{asked.processes} processes", shared)):
        last, final = [100 * ending.last for ending in endings], [100 * ending.final for ending in endings]
        spread = f"±{stdev(last):.2f}" if len(last) > 1 else ""
        print(f"{name}: last epoch {mean(last):.2f} {spread}, final {mean(final):.2f}")


if __name__ == "__main__":
    main()
