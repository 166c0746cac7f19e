"""The words of a --where expression, and the error for one that is not understood."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dmlcli.errors import UsageError

HINT = """--where "category = 'mug' and price < 20" """.strip()
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>--|/\*)
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<word>[^\W\d]\w*)
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<sign><>|<=|>=|==|!=|\|\||<<|>>|[-+*/%<>=(),&|~])""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A word of an expression, and what kind of word it is: a group of _TOKEN, or nothing at the end."""

    kind: str
    text: str


NOTHING = Token("", "")


def tokens(expression: str) -> Iterator[Token]:
    """The words of an expression; raises UsageError at the first that has no meaning."""
    place = 0
    while place < len(expression):
        found = _TOKEN.match(expression, place)
        if found is None or found.lastgroup is None:
            raise refused(expression, f"{expression[place]!r} has no meaning here")
        if found.lastgroup == "comment":
            raise refused(expression, "comments are not taken")
        if found.lastgroup != "space":
            yield Token(found.lastgroup, found.group())
        place = found.end()


def refused(expression: str, reason: str, hint: str = HINT) -> UsageError:
    """Return the error for a filter expression that is not valid or not permitted.

    Args:
        expression: the value of `--where`.
        reason: what is wrong.
        hint: how to write it.
    """
    return UsageError(f"--where {expression}: {reason}", hint=hint)
