"""benchmarks/gpu.py on a CPU: it keeps to its time, and says so where it could not measure."""

import argparse
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_bench, gpu_numbers
from dmlcli.workspace import Workspace
from tests.places import ROOT


@pytest.fixture
def bench(tmp_path: Path) -> gpu_bench.Bench:
    source = ROOT / "sample_data" / "catalog"
    options = argparse.Namespace(
        device="cpu", backbones=["descriptor"], weights=None, limit=300, source=source, side=64
    )
    made = gpu_bench.Bench(options, tmp_path)
    gpu_bench.make_photos(options.source, made.photos, 24, 64)
    return made


def test_a_command_that_outlasts_the_limit_is_stopped(bench: gpu_bench.Bench) -> None:
    started = time.monotonic()
    done = gpu_bench.run_line([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.5)
    assert (done.returncode, done.stderr) == (-9, "stopped: the time is used up")
    assert time.monotonic() - started < 30


def test_nothing_starts_after_the_limit(bench: gpu_bench.Bench) -> None:
    bench.options.limit = 0
    bench.attempt("embed", pytest.fail)
    assert bench.failures == ["embed: not run, the time is used up"]
    assert gpu.report(bench).startswith("1 failures\n")


@pytest.mark.slow
def test_training_that_fails_is_reported_once(bench: gpu_bench.Bench) -> None:
    """The descriptor has no weights to train."""
    bench.attempt("speed", gpu._train_speed, bench, "descriptor", "top")
    assert len(bench.failures) == 1 and "--tune top" in bench.failures[0] and "Traceback" not in bench.failures[0]
    assert gpu_bench.SPEED not in bench.tables


@pytest.mark.slow
def test_a_killed_run_is_resumed(bench: gpu_bench.Bench) -> None:
    bench.attempt("resume", gpu.resume, bench)
    assert bench.failures == [] and len(bench.tables[gpu_bench.RESUME]) == 1


@pytest.mark.slow
def test_a_new_workspace_has_the_network_that_training_starts_from(bench: gpu_bench.Bench) -> None:
    frozen = Workspace(bench.workspace("new", "descriptor")).frozen
    before = {file.name: file.stat().st_mtime_ns for file in frozen.iterdir()}
    before.pop("checked.json", None)  # what is known of the files is written whenever they are read
    line = ("train", bench.photos, "--backbone", "descriptor", "--epochs", 1, "--no-index")
    assert bench.command(*line, workspace="new").returncode == 0, bench.failures
    after = {file.name: file.stat().st_mtime_ns for file in frozen.iterdir()}
    assert {name: after[name] for name in before} == before


def test_without_a_gpu_the_report_says_so_and_providers_are_none(bench: gpu_bench.Bench) -> None:
    bench.attempt("providers", gpu_numbers.providers, bench)
    assert bench.failures == [] and "| - | none is installed | - | - |" in gpu.report(bench)
    assert "**No GPU was there: all figures are of the CPU.**" in gpu.report(bench)
