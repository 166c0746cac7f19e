"""Scores of a search of the size of SOP's test: ours beside pytorch-metric-learning's and beside brute force.

    python benchmarks/evaluation.py [--images 60502] [--products 11316] [--queries all] [--repeats 3] [--check 2048]

Recall@1, 10, 100, 1000 and MAP@R of generated unit vectors of 512 dimensions, leave-one-out. Each contestant runs in a
process of its own, in turn; seconds are wall and CPU of two threads, medians; peak memory is that of the process above
what it held with the vectors loaded (Linux). `command` is the whole of `dmlcli eval FILE`, from shell to shell, with
intervals, insight and evidence of inflation. Brute force sorts the whole gallery for each of `--check` queries.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait must not count as work

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

DIM, AT = 512, (1, 10, 100, 1000)
NAMES = [*(f"recall@{k}" for k in AT), "map@r"]
Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


def generate(images: int, products: int, seed: int = 0) -> tuple[Vectors, Labels]:
    """Unit vectors around a center for each product, with noise that leaves Recall@1 near 0.4."""
    rng = np.random.default_rng(seed)
    labels = np.sort(np.concatenate([np.arange(products), rng.integers(0, products, images - products)]))
    centers = rng.normal(size=(products, DIM)).astype(np.float32)
    vectors = centers[labels] + 2.5 * rng.normal(size=(images, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def ours(vectors: Vectors, labels: Labels, queries: int) -> dict[str, float | None]:
    from dmlcli import metrics
    from dmlcli.ranking import rankings

    products = [str(label) for label in labels]
    found = rankings(vectors[:queries], vectors, products[:queries], products, own_rows=np.arange(queries))
    return {name: metrics.mean(values) for name, values in metrics.score(found, NAMES).items()}


def theirs(vectors: Vectors, labels: Labels, queries: int) -> dict[str, float | None]:
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    torch.set_num_threads(2)

    class Calculator(AccuracyCalculator):  # type: ignore[misc]
        """Add Recall@K as the documentation describes."""

        def requires_knn(self) -> list[str]:
            return [*super().requires_knn(), *(f"recall_at_{k}" for k in AT)]

    for k in AT:

        def recall(
            _: Any, knn_labels: Any, query_labels: Any, not_lone_query_mask: Any, k: int = k, **rest: Any
        ) -> float:
            near, own = knn_labels[not_lone_query_mask, :k], query_labels[not_lone_query_mask]
            return float((near == own[:, None]).any(dim=1).double().mean())

        setattr(Calculator, f"calculate_recall_at_{k}", recall)
    selection = (*(f"recall_at_{k}" for k in AT), "mean_average_precision_at_r")
    calculator = Calculator(include=selection, k=max(AT), device=torch.device("cpu"))
    rows, targets = torch.from_numpy(vectors), torch.from_numpy(labels)
    found = calculator.get_accuracy(rows[:queries], targets[:queries], rows, targets, ref_includes_query=True)
    return {name: found[key] for name, key in zip(NAMES, selection, strict=True)}


def brute(vectors: Vectors, labels: Labels, queries: int) -> dict[str, float | None]:
    """The definitions by a stable sort of the whole gallery, wrong images first where they tie with right ones."""
    from dmlcli.ranking import TIE, block_rows

    sums = dict.fromkeys(NAMES, 0.0)
    counted, block = 0, block_rows(len(vectors))
    for start in range(0, queries, block):
        for query, row in enumerate(vectors[start : min(start + block, queries)] @ vectors.T, start=start):
            others = np.arange(len(vectors)) != query
            right = (labels == labels[query]) & others
            if not right.any():
                continue
            lowered = np.concatenate([row[others & ~right], row[right] - TIE])
            relevant = np.repeat([False, True], [len(lowered) - right.sum(), right.sum()])
            listed = relevant[np.argsort(-lowered, kind="stable")]
            for k in AT:
                sums[f"recall@{k}"] += listed[:k].any()
            first = listed[: right.sum()]
            sums["map@r"] += (np.cumsum(first) / np.arange(1, len(first) + 1) * first).sum() / len(first)
            counted += 1
    return {name: total / counted for name, total in sums.items()}


CONTESTANTS: dict[str, Callable[[Vectors, Labels, int], dict[str, float | None]]] = {
    "ours": ours,
    "theirs": theirs,
    "brute": brute,
}


def contest(name: str, folder: Path, queries: int) -> None:
    """One contestant in this process: print its scores, seconds and memory."""
    vectors, labels = np.load(folder / "vectors.npy"), np.load(folder / "labels.npy")
    if name == "theirs":
        import pytorch_metric_learning.utils.accuracy_calculator  # noqa: F401  not to be counted
    before = peak_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    scores = CONTESTANTS[name](vectors, labels, queries)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_memory()
    print(json.dumps({"scores": scores, "wall": wall, "cpu": cpu, "extra": peak - before, "peak": peak}))


def peak_memory() -> float:
    """The most memory that this process ever held, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run(name: str, folder: Path, queries: int) -> dict[str, Any]:
    """One contestant in a process of its own."""
    if name == "command":
        return command(folder)
    arguments = [sys.executable, __file__, "--contestant", name, "--folder", str(folder), "--queries", str(queries)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def command(folder: Path) -> dict[str, Any]:
    """The whole command, with all that it reports."""
    file = folder / "all.npz"
    if not file.exists():
        np.savez(file, embeddings=np.load(folder / "vectors.npy"), labels=np.load(folder / "labels.npy"))
    arguments = [sys.executable, "-m", "dmlcli", "eval", str(file), "--metrics", ",".join(NAMES), "--format", "json"]
    wall = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return {
        "scores": report["metrics"],
        "wall": time.perf_counter() - wall,
        "cpu": used.ru_utime + used.ru_stime,
        "extra": used.ru_maxrss / 1024,
        "peak": used.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60502)
    parser.add_argument("--products", type=int, default=11316)
    parser.add_argument("--queries", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--check", type=int, default=2048)
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--folder", type=Path)
    if sys.argv[1:2] == ["--write"]:
        vectors, labels = generate(*map(int, sys.argv[3:]))
        np.save(Path(sys.argv[2]) / "vectors.npy", vectors)
        np.save(Path(sys.argv[2]) / "labels.npy", labels)
        return
    options = parser.parse_args()
    if options.contestant:
        contest(options.contestant, options.folder, options.queries)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        size = [str(options.images), str(options.products)]
        subprocess.run(
            [sys.executable, __file__, "--write", str(folder), *size], check=True
        )  # this process stays small
        queries = options.queries or options.images
        names = ["ours", "theirs", *(["command"] if queries == options.images else [])]
        rounds = [{name: run(name, folder, queries) for name in names} for _ in range(options.repeats)]
        print(f"{queries} queries among {options.images} images, {options.products} products, {DIM} dimensions")
        print("| | wall s | CPU s | extra MB | peak MB |", "|---|---|---|---|---|", sep="\n")
        for name in names:
            cells = [f"{median(one[name][key] for one in rounds):.1f}" for key in ("wall", "cpu", "extra", "peak")]
            print(f"| {name} | {' | '.join(cells)} |")
        ratios = {
            key: median(one["theirs"][key] / one["ours"][key] for one in rounds) for key in ("wall", "cpu", "extra")
        }
        print("theirs ÷ ours: " + ", ".join(f"{key} {ratio:.2f}" for key, ratio in ratios.items()))
        for name in names:
            print(f"{name:<8}" + "  ".join(f"{m} {rounds[0][name]['scores'][m]:.9f}" for m in NAMES))
        few = min(options.check, options.images)
        exact, same = run("brute", folder, few)["scores"], run("ours", folder, few)["scores"]
        gap = max(abs(exact[name] - same[name]) for name in NAMES)
        print(f"brute force on {few} queries: largest difference {gap:.1e}")


if __name__ == "__main__":
    main()
