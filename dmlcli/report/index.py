"""What indexing returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Bytes, Count, Microseconds, Share


@dataclass(frozen=True)
class IndexReport:
    """What indexing made."""

    output: str
    """The index folder, or the address of the collection."""
    images: "Count"
    """Images that it holds."""
    products: "Count"
    """Products that they show."""
    dim: "Count"
    """Length of an embedding."""
    kind: str
    """Factory string of FAISS, or what the collection uses."""
    model: str | None
    """Folder of the model that made the embeddings; null for embeddings of another tool."""
    recall: "Share"
    """Share of the ten nearest that a search finds, as measured; 1 where the index is exact."""
    microseconds: "Microseconds | None"
    """Time of a query, alone and on one thread, in microseconds; null where it was not measured."""
    memory: "Bytes"
    """Memory that searching needs, in bytes."""
    why: str
    """Why this kind was chosen."""
    added: "Count"
    """Images that the index did not hold before."""
    removed: "Count"
    """Images that it does not hold any more."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""
    parity: "Share | None" = None
    """Of a collection: share of the ten nearest that exact search of the vectors finds too; null for a folder."""
