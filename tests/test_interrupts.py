"""SIGINT, SIGTERM and SIGHUP end a command with their own exit code, whole and without a traceback, at any moment."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dmlcli import indexes
from dmlcli.embeddings import open_embeddings
from dmlcli.model import open_model
from tests.conftest import make_shop, photo, process

MOMENTS = int(os.environ.get("TEST_MOMENTS", "8"))  # for each command and signal
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def begun(script: str, *, ready: bytes = b"ready\n", **environment: str) -> "subprocess.Popen[bytes]":
    """A process that handles signals and has printed that it is where the test wants it."""
    text = "import sys, time\nfrom dmlcli import interrupts\ninterrupts.install()\n" + script
    running = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )
    assert running.stdout is not None and running.stdout.readline() == ready
    return running


def ended(running: "subprocess.Popen[bytes]", *numbers: int) -> tuple[int, str, str]:
    for number in numbers:
        running.send_signal(number)
        time.sleep(0.2)
    out, err = running.communicate(timeout=60)
    return running.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_starts_ends_at_once(number: int) -> None:
    running = begun("try:\n print('ready', flush=True); time.sleep(60)\nfinally: print('unwound')")
    assert ended(running, number) == (128 + number, "", "")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_works_is_unwound(number: int) -> None:
    script = (
        "interrupts.work()\ntry:\n print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: print('unwound')\ninterrupts.finish(interrupts.exit_code())"
    )
    assert ended(begun(script), number) == (128 + number, "unwound\n", "")


def test_a_command_that_is_done_keeps_its_exit_code() -> None:
    script = "interrupts.work(); interrupts.done(3)\nprint('ready', flush=True); time.sleep(60)"
    assert ended(begun(script), signal.SIGINT) == (3, "", "")


def test_the_second_signal_ends_the_cleaning_up() -> None:
    script = (
        "interrupts.work()\ntry:\n print('ready', flush=True); time.sleep(60)\n"
        "finally: time.sleep(60); print('cleaned up')"
    )
    assert ended(begun(script), signal.SIGTERM, signal.SIGINT) == (143, "", "")


def test_a_signal_waits_until_an_import_is_over(tmp_path: Path) -> None:
    """A package that catches whatever goes wrong in an import would otherwise swallow it."""
    (tmp_path / "slow_module.py").write_text("print('ready', flush=True)\nimport time\ntime.sleep(0.5)\n")
    script = (
        "interrupts.work()\ntry:\n"
        " try: import slow_module\n"
        " except BaseException: print('swallowed')\n"
        " time.sleep(60)\n"
        "except KeyboardInterrupt: print('unwound')\ninterrupts.finish(interrupts.exit_code())"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    assert ended(begun(script, PYTHONPATH=path), signal.SIGINT) == (130, "unwound\n", "")


def test_an_import_that_takes_long_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text(
        "print('ready', flush=True)\nimport time\nfor _ in range(6000): time.sleep(0.01)\n"
    )
    script = "interrupts.work(lambda: 'last words')\nimport slow_module"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    assert ended(begun(script, PYTHONPATH=path), signal.SIGINT) == (130, "", "last words\n")


def test_a_signal_in_a_destructor_is_raised_afterwards() -> None:
    script = (
        "class Slow:\n"
        " def __del__(self): print('ready', flush=True); time.sleep(60)\n"
        "interrupts.work()\ntry:\n"
        " slow = Slow(); del slow\n"
        " time.sleep(60)\n"
        "except KeyboardInterrupt: print('unwound')\ninterrupts.finish(interrupts.exit_code())"
    )
    assert ended(begun(script), signal.SIGTERM) == (143, "unwound\n", "")


def test_a_signal_that_surfaces_as_another_error_counts_as_a_signal() -> None:
    """As C extensions turn it into ImportError, SystemError or an error of their own."""
    script = (
        "from dmlcli.cli.error_handler import guarded\n"
        "def verb():\n"
        " print('ready', flush=True)\n"
        " try: time.sleep(60)\n"
        " except KeyboardInterrupt: raise SystemError('initialization failed') from None\n"
        "interrupts.finish(guarded(verb))"
    )
    assert ended(begun(script), signal.SIGTERM) == (143, "", "dmlcli: error: interrupted\n")


def test_an_interrupted_command_says_what_it_keeps() -> None:
    script = (
        "from dmlcli.cli.error_handler import guarded\n"
        "def verb():\n"
        " with interrupts.keeping('nothing', 'no'): pass\n"
        " with interrupts.keeping('the features computed so far are kept', 'run the same command again'):\n"
        "  print('ready', flush=True); time.sleep(60)\n"
        "interrupts.finish(guarded(verb))"
    )
    assert ended(begun(script), signal.SIGINT) == (
        130,
        "",
        "dmlcli: error: interrupted; the features computed so far are kept\nhint: run the same command again\n",
    )


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As nohup and a shell's `&` start a process."""
    script = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, flush=True)"
    text = f"import signal, subprocess, sys\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\nscript = {script!r}\n"
    text += "subprocess.run([sys.executable, '-c', 'from dmlcli import interrupts; interrupts.install();' + script])"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True)
    assert found.stdout == b"True\n"


# --- at random moments -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A folder with photos, of which the workspace does not know the last, and a workspace to start each run from."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "w"

    def reset(self) -> None:
        shutil.rmtree(self.workspace, ignore_errors=True)
        shutil.copytree(self.folder / "start", self.workspace)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("interrupted")
    make_shop(folder / "shop", 6, 4)
    line = ["train", "shop", "-w", "start", "--backbone", "descriptor", *TRAINING]
    found = process(*line, cwd=folder)
    assert found.returncode == 0, found.stderr.decode()
    for number in range(4):
        photo(0, 10 + number).save(folder / "shop" / "product-00" / f"new-{number}.png")
    return Place(folder)


TRAINING = ("--loss", "softmax", "--epochs", "2", "--views", "1", "--tune", "head")
COMMANDS = {
    "query": ("query", "shop/product-01/0.png", "-k", "3", "-w", "w"),
    "index": ("index", "shop", "-w", "w"),
    "embed": ("embed", "shop", "-w", "w"),
    "train": ("train", "shop", "-w", "w", "--backbone", "descriptor", *TRAINING),
}


def started(command: tuple[str, ...], folder: Path) -> "subprocess.Popen[bytes]":
    line = [sys.executable, "-m", "dmlcli", *command]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def is_handled(number: int, pid: int) -> bool:
    """Whether the process has a handler for the signal; before that, Python itself is starting."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    found = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return not found or bool(int(found[0], 16) >> (number - 1) & 1)


def interrupted(
    place: Place,
    verb: str,
    number: int,
    moments: int,
    start: Callable[[tuple[str, ...], Path], "subprocess.Popen[bytes]"] = started,
) -> Counter[str]:
    """Send the signal at random moments; returns how often each exit code came of it."""
    command = COMMANDS[verb]
    place.reset()
    before = state(place.workspace)
    began = time.monotonic()
    whole = start(command, place.folder)
    out, err = whole.communicate(timeout=600)
    assert whole.returncode == 0, err.decode()
    takes, after = time.monotonic() - began, state(place.workspace)
    rng, counts = random.Random(f"{verb} {number}"), Counter[str]()
    for moment in range(moments):
        place.reset()
        running = start(command, place.folder)
        time.sleep(rng.uniform(0, takes))
        early = not is_handled(signal.SIGTERM, running.pid)
        running.send_signal(number)
        said, report = running.communicate(timeout=120)
        code, now = running.returncode, state(place.workspace)
        known = report.decode()
        if early:  # Python ends itself, by the signal or, where SIGINT hits its own imports, with 1 and a traceback
            assert code in (-number, 128 + number, *((1,) if number == signal.SIGINT else ())), (code, known)
            counts[f"{code}, before the first line of dmlcli"] += 1
        else:
            assert code in (0, 128 + number) and "Traceback" not in known, (code, known)
            assert "Exception ignored" not in known, known
            counts[str(code)] += 1
        assert len(now) == len(before) and all(one in (*before, *after) for one in now), (before, now, after)
        if verb == "query":
            assert out.startswith(said) and said[-1:] in (b"", b"\n"), said  # whole lines, in their order
        if code == 0:
            assert verb == "train" or now == after
        if moment % 8 == 0:  # nothing that is left over stands in the way of the next
            again = start(command, place.folder)
            _, report = again.communicate(timeout=600)
            assert again.returncode == 0, report.decode()
            left = [path for path in place.workspace.rglob("*") if path.name.endswith((".tmp", ".previous"))]
            assert not left, left
    return counts


def state(workspace: Path) -> tuple[object, ...]:
    """What the model, the embeddings and the index hold; an error where one of them is not whole."""
    index = indexes.open_index(workspace / "index")
    vectors = open_embeddings(workspace / "embeddings")
    assert open_model(workspace / "model").record.dim == index.dim
    found = sorted(item.path for item in vectors.items)
    return len(found), index.images


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("verb", list(COMMANDS))
def test_a_command_interrupted_at_random_moments(place: Place, verb: str, number: int) -> None:
    counts = interrupted(place, verb, number, MOMENTS)
    print(verb, signal.Signals(number).name, dict(counts))
