"""What a look at a catalog finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dmlcli.report.units import Count

Severity = Literal["problem", "notice"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a catalog; a notice is odd, but nothing that harms."""

    path: str
    """The image; for a problem of all images of a product, the product."""
    problem: str
    """What is wrong, in one word (docs/doctor.md lists them)."""
    other: str
    """The second image of a pair; empty where there is none."""
    suggestion: str
    """What to do about it."""
    severity: Severity = "problem"
    """Whether it makes the exit code 1 (problem) or not (notice)."""
    detail: str = ""
    """What was found, in words."""


@dataclass(frozen=True)
class Census:
    """How many there are of everything in a catalog."""

    images: "Count"
    """Images, usable or not."""
    products: "Count"
    """Products."""
    categories: "Count"
    """Categories; 0 where the catalog has none."""
    without_product: "Count"
    """Images without a product."""
    splits: "dict[str, Count]"
    """Images by split; empty where the catalog has none."""
    histogram: "tuple[tuple[Count, Count, Count], ...]"
    """Products by number of images: fewest images, most images, and how many products have so many."""


@dataclass(frozen=True)
class DoctorReport:
    """What a catalog holds, and what is wrong with it, as it is found."""

    catalog: str
    """The catalog, as it was named."""
    root: str
    """Folder that its paths are relative to."""
    census: Census
    """How many there are of everything."""
    problems: Iterable[Problem]
    """What is wrong."""
