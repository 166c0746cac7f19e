"""Near-identical images or products, in groups."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Alike:
    """One image or product of a group; score is the cosine to the one in the group that it is closest to."""

    product: str
    image: str
    score: float


@dataclass(frozen=True)
class DuplicatesReport:
    """Groups of images, or products, that are near-identical by their embeddings; the largest group first."""

    index: str
    threshold: float
    of: Literal["images", "products"]
    searched: int
    groups: tuple[tuple[Alike, ...], ...]
    cautions: tuple[str, ...] = ()

    @property
    def says_no(self) -> bool:
        """Whether there are none."""
        return not self.groups
