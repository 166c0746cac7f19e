"""Published results on the four data sets of the field, to set one's own score among them.

Recall@K in percent as printed. Mark V: read in the paper's repository or page; M: from memory of the paper, about 0.3
off at most. Networks: G GoogLeNet, B Inception-BN, R ResNet-50, De DeiT-S/16, DN DINO-S/16, ViT as named; images are
224 to 227 pixels wide unless said. Most rows chose their best epoch on the test set; few report intervals.
"""

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
    rows: str  # one line each: method | year | network | dim | Recall@K with slashes | source | mark


_SOP = """
ImageNet ResNet-50, not trained | 2022 | R | 2048 | 51.5 | OML zoo | V
DINO, not trained | 2022 | DN | 384 | 64.8 | OML zoo | V
Unicom, not trained | 2023 | ViT-L/14@336 | 768 | 74.5 | An et al., ICLR 2023 | V
Lifted structure | 2016 | G | 512 | 62.5/80.8/91.9/97.4 | Oh Song et al., CVPR 2016 | M
Histogram | 2016 | G | 512 | 63.9/81.7/92.2/97.7 | Ustinova and Lempitsky, NeurIPS 2016 | M
N-pair | 2016 | G | 512 | 67.7/83.8/93.0/97.8 | Sohn, NeurIPS 2016 | M
Clustering | 2017 | B | 64 | 67.0/83.7/93.2 | Oh Song et al., CVPR 2017 | V
HDC | 2017 | G | 384 | 69.5/84.4/92.8/97.7 | Yuan et al., ICCV 2017 | V
Angular | 2017 | G | 512 | 70.9/85.0/93.5/98.0 | Wang et al., ICCV 2017 | M
Proxy-NCA | 2017 | B | 64 | 73.7 | Movshovitz-Attias et al., ICCV 2017 | V
Margin | 2017 | R | 128 | 72.7/86.2/93.8/98.0 | Wu et al., ICCV 2017 | V
BIER | 2017 | G | 512 | 72.7/86.5/94.0/98.0 | Opitz et al., ICCV 2017 | M
A-BIER | 2018 | G | 512 | 74.2/86.9/94.0/97.8 | Opitz et al., TPAMI | V
HTL | 2018 | B | 512 | 74.8/88.3/94.8/98.4 | Ge et al., ECCV 2018 | V
ABE-8 | 2018 | G | 512 | 76.3/88.4/94.8/98.2 | Kim et al., ECCV 2018 | M
HDML | 2019 | G | 512 | 68.7/83.2/92.4 | Zheng et al., CVPR 2019 | M
Divide and conquer | 2019 | R | 128 | 75.9/88.4/94.9/98.1 | Sanakoyeu et al., CVPR 2019 | M
Divide and conquer, improved | 2021 | R |  | 79.8/90.5/95.3 | Sanakoyeu et al., TPAMI | V
FastAP | 2019 | R | 512 | 76.4/89.1/95.4/98.5 | Cakir et al., CVPR 2019 | M
MIC | 2019 | R | 128 | 77.2/89.4/94.6 | Roth et al., ICCV 2019 | V
Normalized softmax | 2019 | R | 128 | 75.2/88.7/95.2 | Zhai and Wu, BMVC 2019 | V
Normalized softmax | 2019 | R | 512 | 78.2/90.6/96.2 | Zhai and Wu, BMVC 2019 | V
Normalized softmax | 2019 | R | 2048 | 79.55/91.5/96.7/98.95 | Zhai and Wu, BMVC 2019 | V
Multi-similarity | 2019 | B | 512 | 78.2/90.5/96.0/98.7 | Wang et al., CVPR 2019 | V
SoftTriple | 2019 | B | 512 | 78.3/90.3/95.9 | Qian et al., ICCV 2019 | M
EPSHN | 2019 | R | 512 | 78.3/90.7/96.3 | Xuan et al., arXiv 1904.04370 | M
CGD (larger network and images) | 2019 | SE-R | 1536 | 84.2/93.9/97.4 | Jun et al., arXiv 1903.10663 | M
Proxy-Anchor | 2020 | B | 512 | 79.2/90.7/96.2/98.6 | Kim et al., CVPR 2020, repository | V
XBM, contrastive | 2020 | B | 512 | 79.5/90.8/96.1/98.7 | Wang et al., CVPR 2020 | V
XBM, contrastive | 2020 | R | 128 | 80.6/91.6/96.2/98.7 | Wang et al., CVPR 2020 | V
ProxyNCA++ | 2020 | R | 512 | 80.7/92.0/96.7/98.9 | Teh et al., ECCV 2020 | V
ProxyNCA++ (256 pixels) | 2020 | R | 2048 | 81.4/92.4/96.9/98.9 | Teh et al., ECCV 2020 | M
Smooth-AP | 2020 | R | 512 | 80.1/91.5/96.6/99.0 | Brown et al., ECCV 2020 | M
Relaxed contrastive (transfer) | 2021 | B | 512 | 79.8/91.1/96.3 | Kim et al., CVPR 2021 | V
IBC | 2021 | R | 512 | 81.4/91.3/95.9 | Seidenschwarz et al., ICML 2021 | M
ROADMAP | 2021 | R | 512 | 83.1/92.7/96.3 | Ramzi et al., NeurIPS 2021 | M
ROADMAP | 2021 | De | 384 | 86.0/94.4/97.6 | Ramzi et al., NeurIPS 2021 | M
IRT_R | 2021 | De | 384 | 84.2/93.7/97.3 | El-Nouby et al., arXiv 2102.05644 | V
HIST | 2022 | R | 512 | 81.4/92.0/96.7 | Lim et al., CVPR 2022 | M
Recall@k surrogate (batch 4,000) | 2022 | R | 512 | 82.8/92.9/97.0/99.0 | Patel et al., CVPR 2022 | M
Recall@k surrogate (batch 4,000) | 2022 | ViT-B/16 | 512 | 88.0/96.1/98.6/99.6 | Patel et al., CVPR 2022 | M
Hyp-DeiT | 2022 | De | 384 | 83.3/93.5/97.4/99.1 | Ermolov et al., CVPR 2022 | V
Hyp-DINO | 2022 | DN | 384 | 85.1/94.4/97.8/99.3 | Ermolov et al., CVPR 2022 | V
Hyp-ViT | 2022 | ViT-S/16 | 384 | 85.9/94.9/98.1/99.5 | Ermolov et al., CVPR 2022 | V
OML, triplet | 2022 | DN | 384 | 86.6 | OML zoo | V
HIER | 2023 | R | 512 | 80.2/91.5/96.6 | Kim et al., CVPR 2023 | V
HIER | 2023 | DN | 384 | 85.7/94.6/97.8 | Kim et al., CVPR 2023 | V
HIER | 2023 | ViT-S/16 | 384 | 86.1/95.0/98.0 | Kim et al., CVPR 2023 | V
VPTSP-G (prompts) | 2024 | ViT-B/16 | 512 | 86.8 | Ren et al., ICLR 2024 | V
Unicom, fine-tuned | 2023 | ViT-B/16 | 768 | 88.8 | An et al., ICLR 2023 | V
Unicom, fine-tuned | 2023 | ViT-L/14@336 | 768 | 91.2 | An et al., ICLR 2023 | V
"""
_CUB = """
ImageNet ResNet-50, not trained | 2022 | R | 2048 | 45.5 | OML zoo | V
DINO, not trained | 2022 | DN | 384 | 62.7 | OML zoo | V
Unicom, not trained | 2023 | ViT-L/14@336 | 768 | 89.2 | An et al., ICLR 2023 | V
Clustering | 2017 | B | 64 | 48.2/61.4/71.8/81.9 | Oh Song et al., CVPR 2017 | V
Proxy-NCA | 2017 | B | 64 | 49.2/61.9/67.9/72.4 | Movshovitz-Attias et al., ICCV 2017 | V
HDC | 2017 | G | 384 | 53.6/65.7/77.0/85.6 | Yuan et al., ICCV 2017 | V
Angular | 2017 | G | 512 | 53.6/65.0/75.3/83.7 | Wang et al., ICCV 2017 | M
A-BIER | 2018 | G | 512 | 57.5/68.7/78.3/86.2 | Opitz et al., TPAMI | V
HTL | 2018 | B | 512 | 57.1/68.8/78.7/86.5 | Ge et al., ECCV 2018 | V
Margin | 2017 | R | 128 | 63.6/74.4/83.1/90.0 | Wu et al., ICCV 2017 | V
Normalized softmax | 2019 | R | 512 | 61.3 | Zhai and Wu, BMVC 2019 | V
Normalized softmax | 2019 | R | 2048 | 65.4/76.8/85.4/91.5 | Zhai and Wu, BMVC 2019 | V
Multi-similarity | 2019 | B | 512 | 65.7/77.0/86.3/91.2 | Wang et al., CVPR 2019 | V
SoftTriple | 2019 | B | 512 | 65.4/76.4/84.5 | Qian et al., ICCV 2019 | V
EPSHN | 2019 | R | 512 | 64.9 | Xuan et al., arXiv 1904.04370 | M
XBM, contrastive | 2020 | B | 512 | 65.8 | Wang et al., CVPR 2020 | V
Divide and conquer, improved | 2021 | R |  | 67.7/78.1/85.8/91.5 | Sanakoyeu et al., TPAMI | V
Proxy-Anchor | 2020 | B | 512 | 69.1/78.9/86.1/91.2 | Kim et al., CVPR 2020, repository | V
Proxy-Anchor | 2020 | R | 512 | 69.9/79.6/86.6/91.4 | Kim et al., CVPR 2020, repository | V
ProxyNCA++ | 2020 | R | 512 | 69.0/79.8/87.3 | Teh et al., ECCV 2020 | V
Relaxed contrastive (transfer) | 2021 | B | 512 | 72.1/81.3/87.6 | Kim et al., CVPR 2021 | V
IBC | 2021 | R | 512 | 70.3 | Seidenschwarz et al., ICML 2021 | M
HIST | 2022 | R | 512 | 71.4 | Lim et al., CVPR 2022 | M
HIER | 2023 | R | 512 | 70.1/79.4/86.9 | Kim et al., CVPR 2023 | V
HIER | 2023 | DN | 384 | 81.1 | Kim et al., CVPR 2023 | V
HIER | 2023 | ViT-S/16 | 384 | 85.7 | Kim et al., CVPR 2023 | V
Hyp-DINO | 2022 | DN | 384 | 80.9 | Ermolov et al., CVPR 2022 | V
Hyp-ViT | 2022 | ViT-S/16 | 384 | 85.6 | Ermolov et al., CVPR 2022 | V
OML, triplet | 2022 | DN | 384 | 83.7 | OML zoo | V
VPTSP-G (prompts) | 2024 | ViT-B/16 | 512 | 88.5 | Ren et al., ICLR 2024 | V
Unicom, fine-tuned | 2023 | ViT-L/14@336 | 768 | 90.1 | An et al., ICLR 2023 | V
"""
_CARS = """
ImageNet ResNet-50, not trained | 2022 | R | 2048 | 24.7 | OML zoo | V
DINO, not trained | 2022 | DN | 384 | 26.5 | OML zoo | V
Unicom, not trained | 2023 | ViT-L/14@336 | 768 | 97.3 | An et al., ICLR 2023 | V
Clustering | 2017 | B | 64 | 58.1/70.6/80.3/87.8 | Oh Song et al., CVPR 2017 | V
Proxy-NCA | 2017 | B | 64 | 73.2/82.4/86.4/87.8 | Movshovitz-Attias et al., ICCV 2017 | V
HDC | 2017 | G | 384 | 73.7/83.2/89.5/93.8 | Yuan et al., ICCV 2017 | V
Angular | 2017 | G | 512 | 71.3/80.7/87.0/91.8 | Wang et al., ICCV 2017 | M
A-BIER | 2018 | G | 512 | 82.0/89.0/93.2/96.1 | Opitz et al., TPAMI | V
HTL | 2018 | B | 512 | 81.4/88.0/92.7/95.7 | Ge et al., ECCV 2018 | V
Margin | 2017 | R | 128 | 79.6/86.5/91.9/95.1 | Wu et al., ICCV 2017 | V
Normalized softmax | 2019 | R | 512 | 84.2 | Zhai and Wu, BMVC 2019 | V
Normalized softmax | 2019 | R | 2048 | 89.5/94.2/96.8/98.4 | Zhai and Wu, BMVC 2019 | V
Multi-similarity | 2019 | B | 512 | 84.1/90.4/94.0 | Wang et al., CVPR 2019 | V
SoftTriple | 2019 | B | 512 | 84.5/90.7/94.5 | Qian et al., ICCV 2019 | V
EPSHN | 2019 | R | 512 | 82.7 | Xuan et al., arXiv 1904.04370 | M
XBM, contrastive | 2020 | B | 512 | 82.0 | Wang et al., CVPR 2020 | V
Divide and conquer, improved | 2021 | R |  | 87.2/92.2/95.4/97.4 | Sanakoyeu et al., TPAMI | V
Proxy-Anchor | 2020 | B | 512 | 86.4/91.9/95.0/97.0 | Kim et al., CVPR 2020, repository | V
Proxy-Anchor | 2020 | R | 512 | 87.7/92.7/95.5/97.3 | Kim et al., CVPR 2020, repository | V
ProxyNCA++ | 2020 | R | 512 | 86.5/92.5/95.7 | Teh et al., ECCV 2020 | V
Relaxed contrastive (transfer) | 2021 | B | 512 | 89.6/94.0/96.5 | Kim et al., CVPR 2021 | V
IBC | 2021 | R | 512 | 88.1 | Seidenschwarz et al., ICML 2021 | M
HIST | 2022 | R | 512 | 89.6 | Lim et al., CVPR 2022 | M
Recall@k surrogate | 2022 | R | 512 | 80.7 | Patel et al., CVPR 2022 | M
Recall@k surrogate | 2022 | ViT-B/16 | 512 | 89.5 | Patel et al., CVPR 2022 | M
HIER | 2023 | R | 512 | 88.2/93.0/95.6 | Kim et al., CVPR 2023 | V
HIER | 2023 | DN | 384 | 91.3 | Kim et al., CVPR 2023 | V
HIER | 2023 | ViT-S/16 | 384 | 88.3 | Kim et al., CVPR 2023 | V
Hyp-DINO | 2022 | DN | 384 | 89.2 | Ermolov et al., CVPR 2022 | V
Hyp-ViT | 2022 | ViT-S/16 | 384 | 86.5 | Ermolov et al., CVPR 2022 | V
OML, triplet | 2022 | DN | 384 | 90.7 | OML zoo | V
VPTSP-G (prompts) | 2024 | ViT-B/16 | 512 | 91.2 | Ren et al., ICLR 2024 | V
Unicom, fine-tuned | 2023 | ViT-L/14@336 | 768 | 98.2 | An et al., ICLR 2023 | V
"""
_INSHOP = """
ImageNet ResNet-50, not trained | 2022 | R | 2048 | 28.4 | OML zoo | V
DINO, not trained | 2022 | DN | 384 | 50.9 | OML zoo | V
Unicom, not trained | 2023 | ViT-L/14@336 | 768 | 86.7 | An et al., ICLR 2023 | V
HDC | 2017 | G | 384 | 62.1/84.9/89.0/91.2 | Yuan et al., ICCV 2017 | V
A-BIER | 2018 | G | 512 | 83.1/95.1/96.9/97.5 | Opitz et al., TPAMI | V
HTL | 2018 | B | 512 | 80.9/94.3/95.8/97.2 | Ge et al., ECCV 2018 | V
Normalized softmax | 2019 | R | 512 | 86.6 | Zhai and Wu, BMVC 2019 | V
Normalized softmax | 2019 | R | 2048 | 89.35/97.8/98.6/98.9 | Zhai and Wu, BMVC 2019 | V
Multi-similarity | 2019 | B | 512 | 89.7/97.9/98.5 | Wang et al., CVPR 2019 | V
EPSHN | 2019 | R | 512 | 87.8 | Xuan et al., arXiv 1904.04370 | M
XBM, contrastive | 2020 | B | 512 | 89.9 | Wang et al., CVPR 2020 | V
XBM, contrastive | 2020 | R | 128 | 91.3/97.8/98.4 | Wang et al., CVPR 2020 | V
Divide and conquer, improved | 2021 | R |  | 90.5/97.5/98.2/98.5 | Sanakoyeu et al., TPAMI | V
Proxy-Anchor | 2020 | B | 512 | 91.9/98.1/98.7/99.0 | Kim et al., CVPR 2020, repository | V
ProxyNCA++ | 2020 | R | 512 | 90.4/98.1/98.8 | Teh et al., ECCV 2020 | V
IBC | 2021 | R | 512 | 92.8 | Seidenschwarz et al., ICML 2021 | M
HIER | 2023 | R | 512 | 92.4/98.2/98.8 | Kim et al., CVPR 2023 | V
HIER | 2023 | DN | 384 | 92.5 | Kim et al., CVPR 2023 | V
HIER | 2023 | ViT-S/16 | 384 | 92.8/98.4/99.0 | Kim et al., CVPR 2023 | V
Hyp-DINO | 2022 | DN | 384 | 92.4 | Ermolov et al., CVPR 2022 | V
Hyp-ViT | 2022 | ViT-S/16 | 384 | 92.5/98.3/98.8/99.1 | Ermolov et al., CVPR 2022 | V
OML, triplet | 2022 | DN | 384 | 92.1 | OML zoo | V
VPTSP-G (prompts) | 2024 | ViT-B/16 | 512 | 92.5 | Ren et al., ICLR 2024 | V
Unicom, fine-tuned | 2023 | ViT-L/14@336 | 768 | 96.7 | An et al., ICLR 2023 | V
"""
BENCHMARKS = {
    "sop": Benchmark("Stanford Online Products", (1, 10, 100, 1000), "leave-one-out", 60502, 60502, _SOP),
    "cub": Benchmark("CUB-200-2011", (1, 2, 4, 8), "leave-one-out", 5924, 5924, _CUB),
    "cars": Benchmark("Cars-196", (1, 2, 4, 8), "leave-one-out", 8131, 8131, _CARS),
    "inshop": Benchmark("In-Shop Clothes Retrieval", (1, 10, 20, 30), "query/gallery", 14218, 12612, _INSHOP),
}


def published(name: str) -> tuple[PublishedRow, ...]:
    """The published results on a data set, by Recall@1."""
    benchmark = BENCHMARKS[name]
    rows = []
    for line in benchmark.rows.strip().splitlines():
        method, year, network, dim, scores, source, mark = (cell.strip() for cell in line.split("|"))
        values = [float(score) / 100 for score in scores.split("/")]
        recall = {f"recall@{k}": value for k, value in zip(benchmark.recall, _padded(values), strict=False)}
        rows.append(PublishedRow(method, int(year), network, int(dim) if dim else None, recall, source, mark))
    return tuple(sorted(rows, key=lambda row: row.recall["recall@1"] or 0))


def objections(name: str, protocol: str, queries: int, gallery: int) -> list[str]:
    """Why a score may not stand beside the published ones: it was not taken on the same test."""
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


def _padded(values: Sequence[float]) -> list[float | None]:
    return [*values, *[None] * 3]
