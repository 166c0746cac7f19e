"""Near-identical images or products, in groups."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dmlcli.report.units import Cosine, Count, Place


@dataclass(frozen=True)
class Alike:
    """One image or product of a group."""

    product: str
    """Its product; empty where it has none."""
    image: str
    """Path of the image; of a product, of one of its images."""
    score: "Cosine"
    """Cosine to the one in the group that it is closest to."""


@dataclass(frozen=True)
class Group:
    """One line of `--format jsonl`: images or products that are near-identical."""

    group: "Place"
    """Number of the group; the largest group is 1."""
    members: tuple[Alike, ...]
    """What is in it; of images, the first exists on disk, if any does."""


@dataclass(frozen=True)
class DuplicatesReport:
    """Groups of images, or products, that are near-identical by their embeddings; the largest group first."""

    index: str
    """Folder of the index."""
    threshold: "Cosine"
    """Lowest cosine of two that are near-identical."""
    of: Literal["images", "products"]
    """What was compared."""
    by: Literal["features", "pixels"]
    """How: embeddings or features alone, or pixels too."""
    searched: "Count"
    """How many were compared."""
    groups: tuple[tuple[Alike, ...], ...]
    """The members of each group; of images, the first exists on disk, if any does."""
    cautions: tuple[str, ...] = ()
    """Warnings."""

    @property
    def says_no(self) -> bool:
        """Whether there are none."""
        return not self.groups
