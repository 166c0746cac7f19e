"""Published results on the four data sets of the field, to set one's own score among them.

They stand in published_results/, one table for each data set: Recall@K in percent as printed, empty where it is not.
Mark V: read in the paper's repository or page; M: from memory of the paper, about 0.3 off at most. Networks: G
GoogLeNet, B Inception-BN, R ResNet-50, De DeiT-S/16, DN DINO-S/16, ViT as named; images are 224 to 227 pixels wide
unless said. Most rows chose their best epoch on the test set; few report intervals.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dmlcli.report.eval import EvalReport, PublishedRow


class Benchmark(NamedTuple):
    """A data set's test as the papers run it."""

    title: str
    recall: tuple[int, ...]  # the K that are reported
    protocol: str
    queries: int
    gallery: int


_RESULTS = Path(__file__).parent / "published_results"
BENCHMARKS = {
    "sop": Benchmark("Stanford Online Products", (1, 10, 100, 1000), "leave-one-out", 60502, 60502),
    "cub": Benchmark("CUB-200-2011", (1, 2, 4, 8), "leave-one-out", 5924, 5924),
    "cars": Benchmark("Cars-196", (1, 2, 4, 8), "leave-one-out", 8131, 8131),
    "inshop": Benchmark("In-Shop Clothes Retrieval", (1, 10, 20, 30), "query/gallery", 14218, 12612),
}


def published(name: str) -> tuple[PublishedRow, ...]:
    """The published results on a data set, by Recall@1."""
    recall = [f"recall@{k}" for k in BENCHMARKS[name].recall]
    with (_RESULTS / f"{name}.tsv").open(encoding="utf-8", newline="") as stream:
        rows = [_row(line, recall) for line in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return tuple(sorted(rows, key=lambda row: row.recall["recall@1"] or 0))


def objections(name: str, protocol: str, queries: int, gallery: int) -> list[str]:
    """Return why a score cannot be compared with the published ones: it was measured in another way.

    Args:
        name: of the data set.
        protocol: of the evaluation.
        queries: number of queries.
        gallery: number of images in the gallery.
    """
    benchmark = BENCHMARKS[name]
    wrong = []
    if protocol != benchmark.protocol:
        wrong.append(f"the papers' protocol is {benchmark.protocol}, this is {protocol}")
    if (queries, gallery) != (benchmark.queries, benchmark.gallery):
        papers = f"{benchmark.queries} queries among {benchmark.gallery} images"
        wrong.append(f"the test of {benchmark.title} is {papers}, this is {queries} among {gallery}")
    return wrong


def among(report: EvalReport) -> list[tuple[PublishedRow, bool]]:
    """The published results and one's own, by Recall@1; whether a row is one's own."""
    own = PublishedRow("this one", 0, Path(report.model).name if report.model else "", None, report.metrics, "", "")
    rows = [(row, False) for row in report.published] + [(own, True)]
    return sorted(rows, key=lambda pair: pair[0].recall.get("recall@1") or 0.0)


def _row(line: dict[str, str], recall: Sequence[str]) -> PublishedRow:
    return PublishedRow(
        method=line["method"],
        year=int(line["year"]),
        network=line["network"],
        dim=int(line["dim"]) if line["dim"] else None,
        recall={name: float(line[name]) / 100 if line[name] else None for name in recall},
        source=line["source"],
        mark=line["mark"],
    )
