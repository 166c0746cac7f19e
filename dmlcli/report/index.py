"""What indexing returns."""

from dataclasses import dataclass

from dmlcli.report.skipped import Skipped


@dataclass(frozen=True)
class IndexReport:
    """What indexing made; `recall` is that of the ten nearest, as measured, 1 where the index is exact."""

    output: str
    images: int
    products: int
    dim: int
    kind: str
    model: str | None
    recall: float
    microseconds: float | None  # a query, alone, on one thread; None where it was not measured
    memory: int  # bytes that searching needs
    why: str
    added: int
    removed: int
    skipped: tuple[Skipped, ...] = ()
    parity: float | None = None  # of a collection: share of the ten nearest that exact search of the vectors finds too
