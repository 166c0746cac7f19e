"""Make one HTML page of a template and plain data.

The templates are Jinja2 files in `templates/`. Each includes its CSS and JavaScript from files of the same name. All
text that a template prints is escaped, and a value that it is not given is an error.
"""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_BREAKS = r"[\t\n\r]+"


def render(template: str, **values: object) -> str:
    """Return the page that a template makes of these values."""
    return _environment().get_template(template).render(values)


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as percent, or a dash for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def points(difference: float | None) -> str:
    """Return a difference of two shares as percentage points with a sign, or a dash for None."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def interval(ends: tuple[float, float] | None) -> str:
    """Return the ends of an interval of shares in percent, or a dash for None."""
    return "-" if ends is None else f"{100 * ends[0]:.1f} … {100 * ends[1]:.1f}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number with the singular or the plural of a noun.

    Args:
        number: the count.
        one: the singular.
        many: the plural.
    """
    return f"{number:,} {one if number == 1 else many}"


@cache
def _environment() -> "Environment":
    """Return the settings of Jinja2 for all templates."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "interval": interval, "counted": counted}
    return environment


def _printable(value: object) -> object:
    """Return what a template prints for a value: control characters in text are shown, not acted on.

    Line breaks become blanks, which is how HTML shows them. What a macro returns is markup already.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return printable.text(re.sub(_BREAKS, " ", value))
