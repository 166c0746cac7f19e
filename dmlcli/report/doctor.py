"""What a look at a catalog finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "notice"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a catalog; a notice is odd, but nothing that harms."""

    path: str  # of the image, or the product where the problem is one of all its images
    problem: str
    other: str  # the second image of a pair, "" where there is none
    suggestion: str
    severity: Severity = "problem"
    detail: str = ""


@dataclass(frozen=True)
class Census:
    """How many there are of everything in a catalog; `histogram` is products by number of images."""

    images: int
    products: int
    categories: int
    without_product: int
    splits: dict[str, int]
    histogram: tuple[tuple[int, int, int], ...]  # fewest images, most images, products between


@dataclass(frozen=True)
class DoctorReport:
    """What a catalog holds, and what is wrong with it, as it is found."""

    catalog: str
    root: str
    census: Census
    problems: Iterable[Problem]
