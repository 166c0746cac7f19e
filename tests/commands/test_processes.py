"""Work that several processes share: one and many end alike, whoever is lost, and only the leader speaks."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dmlcli import dist_env, runs
from dmlcli.catalog import open_catalog
from dmlcli.errors import LostProcess, PartError, UsageError
from dmlcli.model import open_model
from tests.commands.test_resume import epochs_done
from tests.commands.test_train import market, place  # noqa: F401 (fixtures)
from tests.conftest import Cli, make_shop, process

EPOCHS = 5


def together(monkeypatch: pytest.MonkeyPatch, rank: int = 0, world: int = 2, **more: str) -> None:
    """This process as torchrun would have started it."""
    for name, value in {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": "2", **more}.items():
        monkeypatch.setenv(name, value)


def test_alone_unless_torchrun_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (dist_env.rank(), dist_env.world(), dist_env.neighbors()) == (0, 1, 1)
    assert not dist_env.were_restarted() and dist_env.exit_code(3) == 3
    monkeypatch.setenv("WORLD_SIZE", "4")  # left over in an environment: nobody has a number
    assert dist_env.world() == 1
    together(monkeypatch, 1, 4)
    assert (dist_env.rank(), dist_env.world(), dist_env.neighbors()) == (1, 4, 2)
    assert dist_env.exit_code(3) == 0 and dist_env.exit_code(4) == 4  # torchrun would start all again
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert dist_env.were_restarted()


def test_errors_are_reported_once_and_by_whom_they_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    together(monkeypatch, 1)
    with pytest.raises(PartError, match="process 1 of 2: no") as caught, dist_env.a_part():
        raise UsageError("no")
    assert dist_env.is_reported(caught.value) and not dist_env.is_reported(UsageError("no"))
    with pytest.raises(LostProcess), dist_env.a_part():
        raise LostProcess("gone")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train {} --processes 0", "--processes"),
        ("embed {} --processes many", "--processes"),
    ],
)
def test_a_number_of_processes_that_is_none(cli: Cli, shop: Path, line: str, said: str) -> None:
    found = cli(*line.format(shop).split())
    assert found.code == 2 and said in found.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("index {}", "torchrun started dmlcli index 2 times"),
        ("query {}", "torchrun started dmlcli query 2 times"),
        ("train {} --processes 3", "torchrun has started 2 processes, and --processes says 3"),
        ("train {} --dry-run", "cannot use several processes"),
        ("train {} --tune none --backbone descriptor", "--tune none trains nothing"),
        ("train {} --batch-size 2 --backbone descriptor", "--batch-size 2 is too small for 3"),
        ("train {} --head bnneck --backbone descriptor", "--head bnneck looks at whole batches"),
        ("embed -", "2 processes cannot share stdin"),
        ("embed --files-from -", "2 processes cannot share stdin"),
    ],
)
def test_what_several_processes_cannot_share(
    cli: Cli, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    together(monkeypatch, world=3 if "for 3" in said else 2)
    words = line.format(shop).split()
    found = cli(*words, *(["-w", tmp_path / "w"] if words[0] == "train" else []))
    assert found.code == 2 and said in found.err and "hint:" in found.err, found.err


def test_only_the_leader_says_what_is_wrong(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together(monkeypatch, rank=1)
    for line in (["embed", tmp_path / "nowhere"], ["train", "--epochs", "none"], ["index", tmp_path]):
        found = cli(*line)
        assert found.code in (2, 4) and not found.out + found.err, found


def test_a_restart_goes_on_with_its_own_run_alone(tmp_path: Path) -> None:
    """Not with one of another recipe or catalog, nor with one that is done."""
    for recipe, catalog in (("a = 1\n", "shop"), ("a = 2\n", "shop"), ("a = 1\n", "other")):
        with runs.start(tmp_path, recipe, catalog, tmp_path / "model") as run:
            run.log({"candidate": "epoch 1", "epoch": 1})
            first = run if (recipe, catalog) == ("a = 1\n", "shop") else None
        if first is not None:
            wanted = first.record.id
    assert runs.go_on_or_start(tmp_path, "a = 1\n", "shop", tmp_path / "model").record.id == wanted
    runs.go_on_or_start(tmp_path, "a = 1\n", "shop", tmp_path / "model").finish({})
    assert runs.go_on_or_start(tmp_path, "a = 1\n", "shop", tmp_path / "model").record.id != wanted


def options(weights: Path, tune: str) -> list[object]:
    network = ["--backbone", "alexnet", "--weights", weights, "--dim", 8, "--views", 2, "--loss", "margin"]
    rates = ["--learning-rate", "1e-5", "--ema", "0.9", "--memory", "40:start=2", "--patience", 0]
    rates += ["--precision", "float32"]  # in bfloat16 an image's features depend on the images beside it
    return [*network, *rates, "--tune", tune, "--epochs", EPOCHS, "--batch-size", 15, "--no-index"]


def story(workspace: Path) -> list[tuple[int, float, float]]:
    """Epoch, loss and MAP@R of the only run in a workspace."""
    (folder,) = workspace.glob("runs/*")
    rows = [row for row in runs.read_metrics(folder) if row.get("epoch")]
    return [(row["epoch"], row["loss"], row["map@r"]) for row in rows]


def assert_alike(one: list[tuple[int, float, float]], other: list[tuple[int, float, float]]) -> None:
    """Equal but for the order of sums: a loss by its last digits, a score by a pair of hits that change places."""
    for (epoch, loss, score), (same, near, close) in zip(one, other, strict=True):
        assert epoch == same and loss == pytest.approx(near, rel=1e-4) and score == pytest.approx(close, abs=0.05)


@pytest.fixture
def workspaces(place: Path, tmp_path: Path) -> Callable[[str], Path]:  # noqa: F811
    """Makes a workspace in which the frozen backbone is exported already."""

    def make(name: str) -> Path:
        shutil.copytree(place / "frozen", tmp_path / name / "frozen")
        return tmp_path / name

    return make


def children(parent: int) -> list[int]:
    """The processes that a process has started, by their number."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text().split())


def rank_of(child: int) -> str:
    try:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((line[5:].decode() for line in environment if line.startswith(b"RANK=")), "")


def worker(launcher: "subprocess.Popen[bytes]", rank: int) -> int:
    """The process of this rank, once there is one."""
    while launcher.poll() is None:
        for child in children(launcher.pid):
            if rank_of(child) == str(rank):
                return child
        time.sleep(0.02)
    raise AssertionError(launcher.communicate())


def started(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dmlcli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["all", "top", "head"])
def test_two_processes_train_as_one_does(
    market: Path,  # noqa: F811
    workspaces: Callable[[str], Path],
    random_weights: Path,
    tmp_path: Path,
    tune: str,
) -> None:
    one, two = workspaces("one"), workspaces("two")
    alone = process("train", market, *options(random_weights, tune), "-w", one, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr.decode()
    line = [*options(random_weights, tune), "-w", two, "--processes", 2, "--format", "json"]
    shared = process("train", market, *line, cwd=tmp_path)
    assert shared.returncode == 0, shared.stderr.decode()
    assert json.loads(shared.stdout)["images"] == 60  # one report, not two
    assert shared.stderr.count(b"fitting on") == 1 and b"Warning" not in shared.stderr, shared.stderr.decode()
    assert_alike(story(one), story(two))
    assert open_model(two / "model").record.recipe == open_model(one / "model").record.recipe


class Halfway(NamedTuple):
    """A training by two processes that has come to its second epoch, and the workspace of its undisturbed twin."""

    whole: Path
    broken: Path
    running: "subprocess.Popen[bytes]"


@pytest.fixture
def halfway(
    market: Path,  # noqa: F811
    workspaces: Callable[[str], Path],
    random_weights: Path,
    tmp_path: Path,
) -> Halfway:
    whole, broken = workspaces("whole"), workspaces("broken")
    line = [*options(random_weights, "all"), "--processes", 2]
    done = process("train", market, *line, "-w", whole, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    running = started("train", market, *line, "-w", broken)
    while epochs_done(broken) < 2 and running.poll() is None:
        time.sleep(0.02)
    return Halfway(whole, broken, running)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_worker_costs_nothing_but_time(halfway: Halfway, rank: int) -> None:
    whole, broken, running = halfway
    os.kill(worker(running, rank), signal.SIGKILL)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said.decode()
    assert f"process {rank} of 2 was killed by SIGKILL; all start again".encode() in said
    assert story(broken) == story(whole)
    assert open_model(broken / "model").record.fingerprint == open_model(whole / "model").record.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_processes_and_what_is_done_is_kept(tmp_path: Path, number: int) -> None:
    shop = make_shop(tmp_path / "shop", 20, 20)
    line = ["embed", shop, "-w", tmp_path / "w", "--processes", 2]
    running = started(*line)
    left = [worker(running, rank) for rank in (0, 1)]
    time.sleep(1)
    running.send_signal(number)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 128 + number and b"Traceback" not in said, said.decode()
    assert not any(Path(f"/proc/{child}").exists() for child in left)
    assert process(*line, cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_ctrl_c_ends_all_and_the_run_goes_on(
    halfway: Halfway,
    market: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    whole, broken, running = halfway
    left = [worker(running, rank) for rank in (0, 1)]
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 130, said.decode()
    assert b"Traceback" not in said and said.count(b"dmlcli: error: ") == 1, said.decode()
    assert not any(Path(f"/proc/{child}").exists() for child in left)
    done = process("train", market, "-w", broken, "--resume", "--no-index", "--processes", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert story(broken) == story(whole)


@pytest.mark.slow
def test_two_launchers_are_two_nodes(
    market: Path,  # noqa: F811
    workspaces: Callable[[str], Path],
    random_weights: Path,
    tmp_path: Path,
) -> None:
    """As two machines would, by two commands of torchrun; the second needs no workspace."""
    one, two = workspaces("one"), workspaces("two")
    alone = process("train", market, *options(random_weights, "all"), "-w", one, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr.decode()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    nodes: list[subprocess.Popen[bytes]] = []
    for node in (0, 1):
        where = ["--nnodes", "2", "--node-rank", str(node), "--master-addr", "127.0.0.1", "--master-port", port]
        command = [sys.executable, "-m", "torch.distributed.run", *where, "--nproc-per-node", "1", "-m", "dmlcli"]
        line = ["train", market, *options(random_weights, "all"), "-w", two if node == 0 else tmp_path / "none"]
        nodes.append(subprocess.Popen([*command, *map(str, line)], stderr=subprocess.PIPE, stdout=subprocess.PIPE))
    for launcher in nodes:
        _, said = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, said.decode()
    assert not (tmp_path / "none").exists()
    assert_alike(story(one), story(two))


@pytest.mark.slow
def test_embeddings_do_not_depend_on_the_number_of_processes(
    random_weights: Path,
    tmp_path: Path,
    place: Path,  # noqa: F811
) -> None:
    """Nor on one that was killed meanwhile, nor on all of them being killed and started again."""
    shop = make_shop(tmp_path / "shop", 20, 20)
    (shop / "product-03" / "5.png").write_bytes(b"no picture")
    made: dict[str, dict[str, Any]] = {}

    def files(name: str) -> list[bytes]:
        return [file.read_bytes() for file in sorted((tmp_path / name / "embeddings").iterdir())]

    for count in (1, 2, 3):
        name = f"of-{count}"
        line = ["embed", shop, "--model", place / "frozen", "-w", tmp_path / name, "--processes", count]
        found = process(*line, "--format", "json", cwd=tmp_path)
        assert found.returncode == 3, found.stderr.decode()
        made[name] = json.loads(found.stdout)
        assert files(name) == files("of-1") and made[name]["computed"] == 399 and len(made[name]["skipped"]) == 1
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["embeddings"]

    for name, rank in (("one-lost", 1), ("all-lost", None)):
        line = ["embed", shop, "--model", place / "frozen", "-w", tmp_path / name, "--processes", 3]
        running = started(*line)
        several = [worker(running, number) for number in range(3)]
        time.sleep(1.5)  # into the work, with luck: the result must not depend on it
        if rank is None:
            running.kill()
        for child in several if rank is None else several[rank : rank + 1]:
            os.kill(child, signal.SIGKILL)
        _, said = running.communicate(timeout=300)
        if rank is None:
            assert process(*line, cwd=tmp_path).returncode == 3
        else:
            assert running.returncode == 3 and b"process 1 of 3 was killed by SIGKILL" in said, said.decode()
        assert files(name) == files("of-1")
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["embeddings"]


@pytest.mark.slow
def test_a_worker_that_dies_again_and_again_ends_with_a_message(tmp_path: Path) -> None:
    """Killed each time as soon as it is there."""
    shop = make_shop(tmp_path / "shop", 6, 6)
    assert open_catalog(shop).items
    running = started("embed", shop, "-w", tmp_path / "w", "--processes", 2)
    killed: set[int] = set()
    while running.poll() is None and len(killed) < 4:
        child = worker(running, 1)
        if child not in killed:
            os.kill(child, signal.SIGKILL)
            killed.add(child)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 4 and b"process 1 of 2 was killed by SIGKILL, the last of 4 attempts" in said
    assert b"hint:" in said and b"Traceback" not in said and not (tmp_path / "w" / "embeddings").exists()
