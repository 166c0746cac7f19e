"""HTML pages from Jinja2 templates and plain data.

The templates are in `templates/`. Each includes its CSS and JavaScript from files of the same name. A page is one file
that loads nothing else. All text that a template prints is escaped, so names from a catalog cannot add markup. Filters
of all templates are `percent`, `points`, `interval` and `counted`.
"""

import re
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_BREAKS = r"[\t\n\r]+"


class Photos:
    """The photos of a page; each is in it once, however often it is shown."""

    def __init__(self) -> None:
        self.ids: dict[Any, str] = {}

    def id(self, image: Any) -> str:
        """Return the id of the element that has a thumbnail."""
        return self.ids.setdefault(image[1:], f"photo-{len(self.ids) + 1}")


def today() -> str:
    """Return the date of the heading of a page, as 2026-11-27."""
    return time.strftime("%Y-%m-%d")


def render(template: str, heading: Mapping[str, str], **values: object) -> str:
    """Return an HTML page.

    Args:
        template: the name of a file in `templates/`, such as `hits.html`.
        heading: what is written below the title: catalog, model, protocol, date.
        values: the variables of the template.

    Raises:
        jinja2.UndefinedError: the template uses a variable that is missing in `values`.
        jinja2.TemplateNotFound: the file does not exist.
    """
    return _environment().get_template(template).render(values, heading=heading, photos=Photos())


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as percent with one decimal, or a dash for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def points(difference: float | None) -> str:
    """Return a difference of two shares as percentage points with a sign, or a dash for None."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def interval(ends: tuple[float, float] | None) -> str:
    """Return an interval of shares in [0, 1] in percent, lower end first, or a dash for None."""
    return "-" if ends is None else f"{100 * ends[0]:.1f} … {100 * ends[1]:.1f}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun: `1 photo`, `2,000 photos`.

    Args:
        number: the count, at least 0.
        one: the singular of the noun.
        many: the plural of the noun.
    """
    return f"{number:,} {one if number == 1 else many}"


@cache
def _environment() -> "Environment":
    """Return the Jinja2 environment of all templates."""
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
    """Return a value as a template prints it: control characters in text are shown as escapes, line breaks as spaces.

    Markup, such as the result of a macro, and values that are not text stay as they are.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return printable.text(re.sub(_BREAKS, " ", value))
