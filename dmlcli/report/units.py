"""Units and ranges of the numbers in reports; docs/schemas.py puts the ranges into the JSON Schemas.

Reports name these types in annotations alone, so this module is not loaded when a command runs.
"""

from typing import Annotated, NamedTuple


class Range(NamedTuple):
    """The least and the most that a number can be; None: any."""

    minimum: float
    maximum: float | None = None


Count = Annotated[int, Range(0)]
"""A number of images, products, …"""
Place = Annotated[int, Range(1)]
"""A rank: the first is 1."""
Bytes = Annotated[int, Range(0)]
Seconds = Annotated[float, Range(0)]
Milliseconds = Annotated[float, Range(0)]
Microseconds = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
"""A score such as Recall@1, or a part of a whole."""
Difference = Annotated[float, Range(-1, 1)]
"""One share minus another."""
Metric = Annotated[float, Range(-1, 1.000001)]
"""Any metric of `eval`: a share, but that `ami` can be below 0, and rounding takes `nmi` just above 1."""
MetricDifference = Annotated[float, Range(-2, 2)]
"""One metric minus another."""
Cosine = Annotated[float, Range(-1.01, 1.01)]
"""A cosine similarity; rounding takes it just outside of [-1, 1]."""
Amount = Annotated[float, Range(0)]
"""Millions of parameters, megabytes, …"""
Percent = Annotated[float, Range(0, 100)]
Interval = tuple[Share, Share]
"""Low and high end of the 95 % interval of a score."""
DifferenceInterval = tuple[Difference, Difference]
"""Low and high end of the 95 % interval of a difference."""
