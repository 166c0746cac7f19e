"""Which part of a photo is searched with: the one whose best product is the surest."""

from collections.abc import Sequence
from typing import NamedTuple

_PREFERENCE = 0.5  # log-odds by which a part must be surer than the whole photo
_CLOSER = 0.02  # cosine by which its best image must be closer, where there are no probabilities


class Recognized(NamedTuple):
    """The best product of a part."""

    product: str | None  # None: nothing was searched
    strength: float  # log-odds of `match`, or the cosine of the best image where there are no probabilities


def best(found: Sequence[Recognized], *, calibrated: bool) -> int:
    """Return the place of the part to search with; the whole photo is the first, and preferred if others are alike.

    Args:
        found: of the whole photo, then of its parts.
        calibrated: whether strengths are log-odds.

    >>> best([Recognized("a", 0.0), Recognized("b", 0.4), Recognized("c", 0.1)], calibrated=True)
    0
    >>> best([Recognized("a", 0.0), Recognized("b", 0.4), Recognized("c", 0.6)], calibrated=True)
    2
    """
    part = max(range(len(found)), key=lambda place: (found[place].strength, -place))
    ahead = found[part].strength - found[0].strength
    return part if ahead > (_PREFERENCE if calibrated else _CLOSER) else 0


def each(found: Sequence[Recognized]) -> list[int]:
    """Return the places of the parts to answer, surest first: one for each product that a part shows best.

    Parts that are less sure than the whole photo are left out; if all are, the whole photo is answered.

    >>> each([Recognized("a", 0.5), Recognized("b", 0.9), Recognized("b", 1.5), Recognized("a", 0.7)])
    [2, 3]
    >>> each([Recognized("a", 2.0), Recognized("b", 0.9)])
    [0]
    """
    seen, chosen = set[str | None](), []
    for place in sorted(range(1, len(found)), key=lambda place: -found[place].strength):
        if found[place].strength >= found[0].strength and found[place].product not in seen:
            seen.add(found[place].product)
            chosen.append(place)
    return chosen or [0]
