"""--where in the words of Milvus, for as much of SQL as means the same there; the rest is refused, never guessed.

SQL knows three truth values: a comparison with an empty cell is neither true nor false. So every part is translated
twice, into what must hold for it to be true and for it to be false, and `not` changes the two: Milvus never has to
negate anything, and an empty cell is in neither.
"""

import math
import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from dmlcli.errors import UsageError
from dmlcli.indexes import filters
from dmlcli.indexes.filter_tokens import NOTHING, Token, tokens

NEVER, ALWAYS = "id < 0", "id >= 0"
_LARGEST = 2**63 - 1
_SIGNS = {"=": "==", "==": "==", "<>": "!=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TURNED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_LETTER = re.compile(r"[A-Za-z]")
_MOST_LETTERS = 7  # of a pattern that is spelt out in all its small and capital letters
Value = int | float | str


class Field(NamedTuple):
    """A column as a collection has it."""

    name: str  # as --where names it
    field: str  # as Milvus does
    kind: str  # INTEGER, REAL or TEXT
    may_be_empty: bool = True


class Truth(NamedTuple):
    """When something is true, and when it is false, as Milvus says it."""

    yes: str
    no: str


def text(value: str) -> str:
    """A text as it stands in an expression of Milvus."""
    return f'"{value.translate(_ESCAPES)}"'


def translate(expression: str, fields: Sequence[Field]) -> str:
    """The expression of Milvus for an SQL expression; raises UsageError for what it cannot say."""
    filters.check(expression, [field.name for field in fields])
    return _Reader(expression, fields).whole().yes


class _Reader:
    """Reads an expression that is known to compare nothing but columns, from left to right."""

    def __init__(self, expression: str, fields: Sequence[Field]) -> None:
        self._expression = expression
        self._fields = {field.name.lower(): field for field in fields}
        self._tokens = [*tokens(expression), NOTHING]
        self._place = 0

    def whole(self) -> Truth:
        truth = self._either()
        if self._next.kind:
            raise self._cannot(f"make nothing of {self._next.text} here")
        return truth

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        self._place += 1
        return self._tokens[self._place - 1]

    def _passes(self, *words: str) -> bool:
        """Whether these words come next; if so, they are passed by."""
        ahead = self._tokens[self._place : self._place + len(words)]
        if [one.text.lower() for one in ahead] != [*words]:
            return False
        self._place += len(words)
        return True

    def _need(self, word: str) -> None:
        if not self._passes(word):
            raise self._cannot(f"find the {word} that belongs before {self._next.text or 'the end'}")

    def _either(self) -> Truth:
        parts = [self._both()]
        while self._passes("or"):
            parts.append(self._both())
        return _joined(parts, "or", "and")

    def _both(self) -> Truth:
        parts = [self._not()]
        while self._passes("and"):
            parts.append(self._not())
        return _joined(parts, "and", "or")

    def _not(self) -> Truth:
        if self._passes("not"):
            return _turned(self._not())
        if self._passes("("):
            truth = self._either()
            self._need(")")
            return truth
        return self._comparison()

    def _comparison(self) -> Truth:
        if self._is_value():  # 20 > price
            value, sign = self._value(), _SIGNS.get(self._take().text)
            if sign is None or self._is_value():
                raise self._cannot("compare anything but a column with values")
            return self._end(self._compared(self._column(), _TURNED[sign], value))
        field = self._column()
        if self._next.text in _SIGNS:
            sign = _SIGNS[self._take().text]
            return self._end(self._compared(field, sign, self._value()))
        if self._passes("isnull") or self._passes("is", "null"):
            return _empty(field)
        if self._passes("notnull") or self._passes("not", "null") or self._passes("is", "not", "null"):
            return _turned(_empty(field))
        if self._passes("is"):
            return self._is(field)
        negated = self._passes("not")
        word = self._take().text.lower()
        ways: dict[str, Callable[[Field], Truth]] = {
            "in": self._in,
            "between": self._between,
            "like": self._like,
            "glob": self._glob,
        }
        if word not in ways:
            raise self._cannot(f"say '{f'{field.name} {word}'.strip()}'")
        truth = ways[word](field)
        return self._end(_turned(truth) if negated else truth)

    def _end(self, truth: Truth) -> Truth:
        """The same, where nothing follows that would change its meaning."""
        if self._next.text and self._next.text.lower() not in ("and", "or", ")"):
            raise self._cannot(f"say '{self._next.text}' of a comparison")
        return truth

    def _is(self, field: Field) -> Truth:
        """`is` and `is not` with a value: as = and <>, but an empty cell is simply another value."""
        negated = self._passes("not")
        if self._next.text.lower() in ("true", "false"):
            raise self._cannot("say 'is true' and 'is false'", hint=f"{field.name} <> 0")
        same = self._compared(field, "==", self._value())
        no = f"({_empty(field).yes} or {same.no})" if field.may_be_empty else same.no
        return _turned(Truth(same.yes, no)) if negated else Truth(same.yes, no)

    def _in(self, field: Field) -> Truth:
        self._need("(")
        parts = []
        while not self._passes(")"):
            parts.append(self._compared(field, "==", self._value()))
            if not self._passes(","):
                self._need(")")
                break
        return _joined(parts, "or", "and") if parts else Truth(NEVER, ALWAYS)

    def _between(self, field: Field) -> Truth:
        low = self._compared(field, ">=", self._value())
        self._need("and")
        return _joined([low, self._compared(field, "<=", self._value())], "and", "or")

    def _like(self, field: Field) -> Truth:
        pattern = self._pattern(field, "like")
        if "_" in pattern:
            raise self._cannot("match a single sign", hint="% stands for any number of them")
        if len(_LETTER.findall(pattern)) > _MOST_LETTERS:
            raise self._cannot(
                "pass over small and capital letters, as 'like' does, in a pattern that long",
                hint=f"{field.name} glob '{pattern.replace('%', '*')}' keeps to them",
            )
        return _matched(field, _spelt(pattern.replace("\\", "\\\\")))

    def _glob(self, field: Field) -> Truth:
        pattern = self._pattern(field, "glob")
        if any(sign in pattern for sign in "?["):
            raise self._cannot("match a single sign", hint="* stands for any number of them")
        return _matched(field, [re.sub(r"([\\%_])", r"\\\1", pattern).replace("*", "%")])

    def _pattern(self, field: Field, word: str) -> str:
        if field.kind != "TEXT":
            raise self._cannot(f"match numbers ({field.name}) with a pattern")
        if self._next.kind != "text":
            raise self._cannot(f"match with anything but a text in single quotes after '{word}'")
        return _unquoted(self._take().text)

    def _is_value(self) -> bool:
        return self._next.kind in ("text", "number", "sign") or self._next.text.lower() in ("true", "false", "null")

    def _value(self) -> Value:
        sign = -1 if self._passes("-") else 1
        signed = sign < 0 or self._passes("+")
        token = self._take()
        if token.kind == "number":
            short = len(token.text) < 30  # what is longer, SQL too takes for a fraction
            return sign * (int(token.text) if token.text.isdecimal() and short else float(token.text))
        if not signed and token.kind == "text":
            return _unquoted(token.text)
        if not signed and token.text.lower() in ("true", "false"):
            return int(token.text.lower() == "true")
        if token.text.lower() == "null":
            raise self._cannot("compare with null", hint="is null, and is not null, ask for empty cells")
        raise self._cannot(f"compare with anything but a value, and {token.text or 'the end'} is none")

    def _column(self) -> Field:
        token = self._take()
        name = token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text
        field = self._fields.get(name.lower()) if token.kind in ("word", "quoted") else None
        if field is None:
            raise self._cannot(f"make nothing of {token.text or 'the end'} here: a comparison begins with a column")
        return field

    def _compared(self, field: Field, sign: str, value: Value) -> Truth:
        if field.kind == "TEXT":
            if not isinstance(value, str):
                raise self._cannot(f"compare text with a number ({field.name})", hint=f"{field.name} = '{value}'")
            return _signed(field, sign, text(value))
        if isinstance(value, str):
            raise self._cannot(f"compare numbers with a text ({field.name})", hint=f"{field.name} < 20")
        if field.kind == "REAL":
            if not math.isfinite(value):
                raise self._cannot("compare with a number that large")
            return _signed(field, sign, repr(float(value)))
        return _whole(field, sign, value)

    def _cannot(self, what: str, hint: str = "an index in a folder takes all of SQL") -> UsageError:
        return UsageError(f"--where {self._expression}: Milvus cannot {what}", hint=hint)


def _joined(parts: Sequence[Truth], word: str, other: str) -> Truth:
    if len(parts) == 1:
        return parts[0]
    return Truth(f"({f' {word} '.join(p.yes for p in parts)})", f"({f' {other} '.join(p.no for p in parts)})")


def _turned(truth: Truth) -> Truth:
    return Truth(truth.no, truth.yes)


def _empty(field: Field) -> Truth:
    return Truth(f"{field.field} is null", f"{field.field} is not null") if field.may_be_empty else Truth(NEVER, ALWAYS)


def _filled(field: Field, condition: str) -> str:
    """A condition of those cells that are not empty: what Milvus makes of the others is not left to it."""
    return f"({field.field} is not null and {condition})" if field.may_be_empty else condition


def _signed(field: Field, sign: str, value: str) -> Truth:
    return Truth(
        _filled(field, f"{field.field} {sign} {value}"), _filled(field, f"{field.field} {_OPPOSITE[sign]} {value}")
    )


def _whole(field: Field, sign: str, value: int | float) -> Truth:
    """A comparison of whole numbers, also with a fraction or with what no 64 bits hold."""
    if abs(value) <= _LARGEST and value == int(value):
        return _signed(field, sign, str(int(value)))
    something = _empty(field).no
    if sign in ("==", "!="):
        truth = Truth(NEVER, something)
        return truth if sign == "==" else _turned(truth)
    if abs(value) > _LARGEST:
        truth = Truth(something, NEVER) if value > 0 else Truth(NEVER, something)
    else:
        truth = _signed(field, "<=", str(math.floor(value)))
    return truth if sign in ("<", "<=") else _turned(truth)


def _spelt(pattern: str) -> list[str]:
    """A pattern in all its small and capital letters: SQLite's `like` takes them for the same, Milvus's does not."""
    signs = [(sign.lower(), sign.upper()) if _LETTER.match(sign) else (sign,) for sign in pattern]
    return ["".join(spelling) for spelling in product(*signs)]


def _matched(field: Field, patterns: Sequence[str]) -> Truth:
    matches = " or ".join(f"{field.field} like {text(pattern)}" for pattern in patterns)
    condition = f"({matches})" if len(patterns) > 1 else matches
    return Truth(_filled(field, condition), _filled(field, f"not ({condition})"))


def _unquoted(token: str) -> str:
    return token[1:-1].replace("''", "'")
