"""Forward and backward of every loss beside pytorch-metric-learning's and beside what no loss can avoid.

    python benchmarks/losses.py [--losses all|triplet,circle] [--batch 128 512 1024] [--repeats 7] [--heavy]
    python benchmarks/losses.py --miners [--batch 128 512 1024] [--repeats 7]

One process times all three in turn, on the CPU with two threads: seconds are CPU seconds of all threads, the median of
the repeats, so that other programs on the machine disturb as little as possible. What cannot be avoided ("product") is
one matrix product of the embeddings (B, D) with what they are compared with, (D, B) or the proxies (D, C), forward and
backward. Peak memory is that of a process of its own, above what it held before the call (Linux).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait must not count as work

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from dmlcli.learn import losses
from dmlcli.learn.losses import selection

DIM, PER_LABEL, LABELS = 512, 4, 1000
Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Contest:
    """One line of the table: our spec, their loss with the same settings, and what makes them differ where they do."""

    spec: str
    theirs: Callable[[Any, int, int], Function] | None = None  # (their package, labels, embedding length)
    same_value: bool = True
    same_gradient: bool = True  # where the value is the same
    note: str = ""
    largest: int = 1024  # batch that theirs can take here
    centers: int = 1  # for each label; 0: too few to count, beside the images themselves
    parameter: str = ""  # theirs, where it holds the proxies
    arguments: Callable[[Tensor, Tensor], tuple[Any, ...]] = lambda x, y: (x, y)  # of theirs, for a batch
    in_blocks: bool = False  # theirs wants the images of a label side by side, and as many labels as images of each


def mined(loss: nn.Module, miner: Any) -> Function:
    return lambda embeddings, labels: loss(embeddings, labels, miner(embeddings, labels))


def contests() -> list[Contest]:
    """Every loss at its defaults, and the minings and forms whose costs differ; theirs is set to ours."""
    return [
        Contest("contrastive", lambda p, c, d: p.losses.ContrastiveLoss(0.0, 1.0)),
        Contest(
            "triplet",
            lambda p, c, d: mined(
                p.losses.TripletMarginLoss(0.2, distance=p.distances.LpDistance(power=2)),
                p.miners.TripletMarginMiner(0.2, "semihard", distance=p.distances.LpDistance(power=2)),
            ),
            same_value=False,
            note="theirs takes every negative within the margin",
        ),
        Contest(
            "triplet:mining=semi-hard-all",
            lambda p, c, d: mined(
                p.losses.TripletMarginLoss(0.2, distance=p.distances.LpDistance(power=2)),
                p.miners.TripletMarginMiner(0.2, "semihard", distance=p.distances.LpDistance(power=2)),
            ),
        ),
        Contest(
            "triplet:mining=batch-hard",
            lambda p, c, d: mined(
                p.losses.TripletMarginLoss(
                    0.2, distance=p.distances.LpDistance(power=2), reducer=p.reducers.MeanReducer()
                ),
                p.miners.BatchHardMiner(distance=p.distances.LpDistance(power=2)),
            ),
        ),
        Contest(
            "triplet:mining=batch-all",
            lambda p, c, d: p.losses.TripletMarginLoss(0.2, distance=p.distances.LpDistance(power=2)),
        ),
        Contest(
            "triplet:mining=batch-all,swap=true",
            lambda p, c, d: p.losses.TripletMarginLoss(0.2, swap=True, distance=p.distances.LpDistance(power=2)),
            largest=512,
        ),
        Contest("lifted-structure", lambda p, c, d: p.losses.GeneralizedLiftedStructureLoss(neg_margin=1.0)),
        Contest(
            "lifted-structure:form=original,normalize=true",
            lambda p, c, d: p.losses.LiftedStructureLoss(neg_margin=1.0),
            largest=256,
        ),
        Contest("binomial-deviance"),
        Contest("nca", lambda p, c, d: p.losses.NCALoss(softmax_scale=8.0)),
        Contest(
            "margin",
            lambda p, c, d: mined(
                p.losses.MarginLoss(0.2, 0.0, 1.2, learn_beta=True, num_classes=c),
                p.miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4),
            ),
            same_value=False,
            note="random draws",
        ),
        Contest(
            "n-pair:l2_reg=0",
            lambda p, c, d: p.losses.NPairsLoss(distance=p.distances.DotProductSimilarity(normalize_embeddings=False)),
        ),
        Contest("clustering"),
        Contest(
            "angular",
            lambda p, c, d: p.losses.AngularLoss(alpha=45.0),
            same_gradient=False,
            note="theirs leaves the negatives as they are: its value is right on unit vectors",
        ),
        Contest("n-pair-angular"),
        Contest(
            "multi-similarity",
            lambda p, c, d: mined(p.losses.MultiSimilarityLoss(2.0, 50.0, 0.5), p.miners.MultiSimilarityMiner(0.1)),
        ),
        Contest("circle", lambda p, c, d: p.losses.CircleLoss(0.4, 80)),
        Contest("supcon", lambda p, c, d: p.losses.SupConLoss(0.1)),
        Contest("nt-xent", lambda p, c, d: p.losses.NTXentLoss(0.07), largest=256),
        Contest("tuplet-margin", lambda p, c, d: p.losses.TupletMarginLoss(5.73, 64.0), largest=256),
        Contest(
            "signal-to-noise",
            lambda p, c, d: p.losses.SignalToNoiseRatioContrastiveLoss(pos_margin=0, neg_margin=1),
            largest=512,
        ),
        Contest(
            "ranked-list",
            lambda p, c, d: p.losses.RankedListLoss(0.4, 10.0, 0.5, 1.2, 0.0),
            same_value=False,
            note="theirs adds 1e-5 to the divisors",
        ),
        Contest("fast-ap", lambda p, c, d: p.losses.FastAPLoss(10)),
        Contest(
            "smooth-ap",
            lambda p, c, d: p.losses.SmoothAPLoss(0.01),
            note="theirs is right where labels are as many as images of each, in blocks",
            largest=256,
            in_blocks=True,
        ),
        Contest("recall-at-k"),
        Contest(
            "histogram",
            lambda p, c, d: p.losses.HistogramLoss(n_bins=200),
            same_gradient=False,
            note="theirs finds the bins in float32, where a similarity next to a node can fall into the other one",
            largest=256,
        ),
        Contest("proxy-anchor", lambda p, c, d: p.losses.ProxyAnchorLoss(c, d, 0.1, 32.0), parameter="proxies"),
        Contest("proxy-nca"),
        Contest("proxy-nca-pp", lambda p, c, d: p.losses.ProxyNCALoss(c, d, softmax_scale=9.0), parameter="proxies"),
        Contest(
            "soft-triple:tau=0",
            lambda p, c, d: p.losses.SoftTripleLoss(c, d, 10, 20.0, 0.1, 0.01),
            centers=10,
            parameter="fc",
        ),
        Contest(
            "arcface", lambda p, c, d: p.losses.ArcFaceLoss(c, d, margin=28.64788975654116, scale=64.0), parameter="W"
        ),
        Contest(
            "sub-center-arcface",
            lambda p, c, d: p.losses.SubCenterArcFaceLoss(
                num_classes=c, embedding_size=d, margin=28.64788975654116, scale=64.0, sub_centers=3
            ),
            centers=3,
            parameter="W",
        ),
        Contest(
            "cosface",
            lambda p, c, d: p.losses.CosFaceLoss(num_classes=c, embedding_size=d, margin=0.35, scale=64.0),
            parameter="W",
        ),
        Contest(
            "sphereface:lam=0,normalize=false,scale=1",
            lambda p, c, d: p.losses.SphereFaceLoss(num_classes=c, embedding_size=d, margin=4, scale=1.0),
            parameter="W",
        ),
        Contest("normalized-softmax", lambda p, c, d: p.losses.NormalizedSoftmaxLoss(c, d, 0.05), parameter="W"),
        Contest("softmax"),
        Contest("center"),
        Contest(
            "large-margin-softmax:lam=0",
            lambda p, c, d: p.losses.LargeMarginSoftmaxLoss(num_classes=c, embedding_size=d, margin=4, scale=1.0),
            parameter="W",
        ),
        Contest("p2s-grad", lambda p, c, d: p.losses.P2SGradLoss(d, c), parameter="weight"),
        Contest("threshold-consistent-margin", lambda p, c, d: p.losses.ThresholdConsistentMarginLoss(), largest=256),
        Contest("intra-pair-variance", lambda p, c, d: p.losses.IntraPairVarianceLoss()),
        Contest(
            "instance",
            lambda p, c, d: p.losses.InstanceLoss(gamma=64),
            arguments=lambda x, y: (x, torch.arange(len(x))),
            same_value=False,
            note="theirs is right where every image has its own label",
        ),
        *(
            Contest(
                f"pnp:variant={variant}",
                lambda p, c, d, variant=variant: p.losses.PNPLoss(variant=variant),  # type: ignore[misc]
                largest=256,
            )
            for variant in ("O", "Iu", "Ib", "Ds", "Dq")
        ),
        Contest("dynamic-soft-margin"),
        Contest(
            "dynamic-soft-margin:mining=all,num_bins=10",
            lambda p, c, d: lambda x, y: p.losses.DynamicSoftMarginLoss(num_bins=10)(x, y),
            note="theirs takes one batch: its histogram keeps the graph of the last, and differentiates through it",
            same_gradient=False,
            largest=256,
        ),
        Contest(
            "vicreg",
            lambda p, c, d: p.losses.VICRegLoss(),
            arguments=lambda x, y: (views(x, y)[0], None, None, views(x, y)[1]),
        ),
        Contest("roadmap"),
        Contest("hyperbolic"),
        Contest(
            "manifold",
            lambda p, c, d: p.losses.ManifoldLoss(d, K=min(50, c)),
            arguments=lambda x, y: (x, None, y % 50),
            parameter="proxies",
            centers=0,
        ),
        Contest("embedding-norm", lambda p, c, d: p.regularizers.LpRegularizer(), arguments=lambda x, y: (x,)),
        Contest("zero-mean", lambda p, c, d: p.regularizers.ZeroMeanRegularizer(), arguments=lambda x, y: (x,)),
        Contest(
            "center-spread:normalize=false",
            lambda p, c, d: p.regularizers.RegularFaceRegularizer(),
            arguments=lambda x, y: (torch.stack([x[y == label].mean(0) for label in sorted(set(y.tolist()))]),),
        ),
        Contest("spectral"),
    ]


MINERS: dict[str, Callable[[Any], Any]] = {  # ours, and theirs with the same settings
    "multi-similarity": lambda p: p.MultiSimilarityMiner(0.1),
    "hard": lambda p: p.BatchHardMiner(),
    "easy-positive": lambda p: p.BatchEasyHardMiner("easy", "semihard"),
    "pair-margin": lambda p: p.PairMarginMiner(0.2, 0.8),
    "triplet-margin": lambda p: p.TripletMarginMiner(0.2, "all"),
    "triplet-margin:difficulty=semi-hard": lambda p: p.TripletMarginMiner(0.2, "semihard"),
    "angular": lambda p: p.AngularMiner(20),
    "hdc": lambda p: p.HDCMiner(0.5),
    "distance-weighted": lambda p: p.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4),
}


def miner(spec: str) -> Any:
    """Return our miner of a name with settings."""
    name, _, settings = spec.partition(":")
    return losses.miners.load(name)(**dict(pair.split("=") for pair in settings.split(",") if pair))


def views(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second image of each label."""
    first, second = selection.first_two(labels)
    return embeddings[first], embeddings[second]


def product(contest: Contest, labels: int) -> Function:
    """The matrix product that a loss of this kind cannot do without."""
    family = losses.describe(contest.spec.split(":")[0]).family
    proxies = torch.randn(labels * contest.centers, DIM, requires_grad=True)

    def multiply(embeddings: Tensor, _: Tensor) -> Tensor:
        return embeddings @ (proxies if contest.centers and family in ("proxy", "classifier") else embeddings).T

    return multiply


def batch(size: int) -> tuple[Tensor, Tensor]:
    embeddings = torch.randn(size, DIM, generator=torch.Generator().manual_seed(0))
    return embeddings.requires_grad_(), torch.arange(size) // PER_LABEL


def run(function: Function, embeddings: Tensor, labels: Tensor, backward: bool = True) -> None:
    embeddings.grad = None
    result = function(embeddings, labels)
    if not backward:
        return
    torch.autograd.backward(result, torch.ones_like(result))


def seconds(functions: list[Function], size: int, repeats: int, *, backward: bool = True) -> list[float]:
    """Median CPU seconds of each, taken in turns; quick ones are run several times for one reading."""
    embeddings, labels = batch(size)
    times = []
    for function in functions:
        started = time.process_time()
        run(function, embeddings, labels, backward)
        times.append(max(1, round(0.1 / max(time.process_time() - started, 1e-4))))
    readings: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, count, reading in zip(functions, times, readings, strict=True):
            started = time.process_time()
            for _ in range(count):
                run(function, embeddings, labels, backward)
            reading.append((time.process_time() - started) / count)
    return [median(reading) for reading in readings]


def function_of(contest: Contest, who: str, labels: int) -> Function:
    if who == "product":
        return product(contest, labels)
    if who == "ours":
        return losses.build(contest.spec, labels, DIM)
    loss = theirs(contest, labels, DIM)
    return lambda embeddings, labels: loss(*contest.arguments(embeddings, labels))


def theirs(contest: Contest, labels: int, dim: int) -> Function:
    import pytorch_metric_learning as package

    for part in ("distances", "losses", "miners", "reducers", "regularizers"):
        import_module(f"{package.__name__}.{part}")
    assert contest.theirs is not None
    return contest.theirs(package, labels, dim)


def peak(contest: Contest, who: str, size: int, labels: int) -> float:
    """Megabytes that a process of its own needs above what it held before the call."""
    call = [sys.executable, __file__, "--peak", who, "--losses", contest.spec, "--batch", str(size)]
    done = subprocess.run([*call, "--labels", str(labels)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def own_peak(contest: Contest, who: str, size: int, labels: int) -> float:
    function = function_of(contest, who, labels)
    run(function, *batch(8))  # what is loaded on first use is not the loss's
    embeddings, targets = batch(size)
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = status("VmRSS")
    run(function, embeddings, targets)
    return (status("VmHWM") - before) / 1024


def status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def table(chosen: list[Contest], sizes: list[int], repeats: int, labels: int, heavy: bool) -> Iterable[str]:
    yield "| loss | B | product ms | ours ms | ours ÷ product | theirs ms | theirs ÷ ours | ours MB | theirs MB |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for contest in chosen:
        for size in sizes:
            against = contest.theirs is not None and size <= max(contest.largest, 512 if heavy else 0)
            who = ["product", "ours", "theirs"] if against else ["product", "ours"]
            functions = [function_of(contest, each, max(labels, size)) for each in who]
            bound, ours, *other = seconds(functions[:2] if size > contest.largest else functions, size, repeats)
            if against and size > contest.largest:
                other = seconds(functions[2:], size, 1)
            megabytes = [peak(contest, each, size, max(labels, size)) for each in who[1:]]
            cells = [contest.spec, size, f"{bound * 1e3:.1f}", f"{ours * 1e3:.1f}", f"{ours / bound:.1f}"]
            cells += [f"{other[0] * 1e3:.1f}", f"{other[0] / ours:.1f}"] if other else ["", ""]
            cells += [f"{mb:.0f}" for mb in megabytes] + [""] * (2 - len(megabytes))
            yield "| " + " | ".join(map(str, cells)) + " |"


def miner_table(sizes: list[int], repeats: int) -> Iterable[str]:
    from pytorch_metric_learning import miners as package

    yield "| miner | B | product ms | ours ms | theirs ms | theirs ÷ ours |"
    yield "|---|---|---|---|---|---|"
    for spec, create in MINERS.items():
        ours, theirs = miner(spec), create(package)
        for size in sizes:
            heavy = spec == "angular" and size > 128  # theirs takes gigabytes
            functions = [lambda x, y: x @ x.T, ours] + ([] if heavy else [theirs])
            bound, *times = seconds(functions, size, repeats, backward=False)
            cells = [spec, size, *(f"{time * 1e3:.1f}" for time in (bound, *times))]
            cells += ["", ""] if heavy else [f"{times[1] / times[0]:.1f}"]
            yield "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", default="all", help="all, or names or specs of the table separated by spaces")
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512, 1024], metavar="B")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--labels", type=int, default=LABELS, help="proxies, at least B (default: %(default)s)")
    parser.add_argument("--miners", action="store_true", help="time the miners alone, in place of the losses")
    parser.add_argument("--heavy", action="store_true", help="run theirs at 512 where it takes gigabytes and a minute")
    parser.add_argument("--peak", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    if options.miners:
        for line in miner_table(options.batch, options.repeats):
            print(line, flush=True)
        return
    words = options.losses.split()
    chosen = [c for c in contests() if words == ["all"] or c.spec in words or c.spec.split(":")[0] in words]
    if options.peak:
        contest = next(contest for contest in chosen if contest.spec == options.losses)
        print(own_peak(contest, options.peak, options.batch[0], options.labels))
        return
    for line in table(chosen, options.batch, options.repeats, options.labels, options.heavy):
        print(line, flush=True)


if __name__ == "__main__":
    main()
