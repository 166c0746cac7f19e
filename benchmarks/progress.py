"""How well `dmlcli train` says how far it is: the longest silence on stderr, and the error of the estimated total time.

    python benchmarks/progress.py CATALOG -w DIR [--least 3.0] [-- --backbone mobilenet_v2 --weights FILE]

Runs `dmlcli train CATALOG --progress jsonl`, notes when each line arrives, and shows the longest silences, then the
estimate of the total (`elapsed` + `left`) at each tenth of the run beside the time that it took. A new workspace also
computes the features. On a machine with other work, silences while the process was not running count too: the CPU time
of each silence is shown beside it.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
AFTER = 1 / 3  # share of the run from which the estimate counts


class Line(NamedTuple):
    """A line of stderr: when it came, the CPU seconds of the process until then, and its event."""

    seconds: float
    cpu: float
    event: dict[str, Any]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("-w", "--workspace", type=Path, required=True)
    parser.add_argument("--least", type=float, default=3.0, help="seconds from which a silence is listed")
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    asked = parser.parse_args(given[:end])
    train = ["train", str(asked.catalog), "-w", str(asked.workspace), "--progress", "jsonl", *given[end + 1 :]]
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "dmlcli", *train], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stderr is not None
    lines = [Line(time.monotonic() - started, cpu_seconds(process.pid), _event(text)) for text in process.stderr]
    code = process.wait()
    took = time.monotonic() - started
    print(f"exit {code}, {len(lines)} lines in {took:.1f} s")
    show_silences(lines, took, asked.least)
    show_estimates(lines, took)


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds that a process has used, on Linux; 0 elsewhere, or where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100


def _event(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = {"event": "text", "message": text.rstrip()}
    return value if isinstance(value, dict) else {"event": "text"}


def show_silences(lines: list[Line], took: float, least: float) -> None:
    """Print each silence of `least` seconds and the longest one, with the stage that it was in."""
    start = Line(0.0, 0.0, {"stage": "start"})
    stage, longest = "start", (0.0, 0.0, "start", 0.0)
    for before, line in zip([start, *lines], [*lines, Line(took, 0.0, {})], strict=True):
        gap = (line.seconds - before.seconds, max(0.0, line.cpu - before.cpu), stage, before.seconds)
        longest = max(longest, gap)
        if gap[0] >= least:
            print(f"silence of {gap[0]:.1f} s ({gap[1]:.1f} CPU s) at {gap[3]:.1f} s, {gap[2]}")
        stage = line.event.get("stage", stage)
    print(f"longest silence: {longest[0]:.1f} s ({longest[1]:.1f} CPU s) at {longest[3]:.1f} s, {longest[2]}")


def show_estimates(lines: list[Line], took: float) -> None:
    """Print the estimated total at each tenth of the run, and the largest error after a third of it."""
    estimates = [
        (line.seconds, line.event["elapsed"] + line.event["left"], line.event["stage"])
        for line in lines
        if line.event.get("event") == "progress" and "left" in line.event
    ]
    if not estimates:
        print("no estimates")
        return
    for tenth in range(1, 10):
        seconds, total, stage = min(estimates, key=lambda one: abs(one[0] - tenth * took / 10))
        print(f"{10 * tenth:3} % ({seconds:6.1f} s): total {total:6.1f} s, {100 * (total / took - 1):+.0f} %, {stage}")
    late = [total / took - 1 for seconds, total, _ in estimates if seconds >= AFTER * took]
    if late:
        print(f"largest error from {100 * AFTER:.0f} % of the run on: {100 * max(late, key=abs):+.0f} %")


if __name__ == "__main__":
    main()
