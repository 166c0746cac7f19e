"""Whether a --where expression compares like with like: SQLite compares text with a number without a word.

An expression is parsed with SQLite's precedence. A text column compared with a number, a number column compared with
text that is not a number, and arithmetic with text are refused; the message names the column and one of its values.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dmlcli.errors import UsageError
from dmlcli.indexes.filter_tokens import NOTHING, Token, refused, tokens

NUMBER, TEXT, ANY = "number", "text", "any"
Sample = Callable[[str], str]  # the name of a text column to one of its values, as a message shows it

_NUMERIC = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_LEVELS = (  # of binary operators, the loosest first; comparisons that are words stand in `_equality`
    ("<", "<=", ">", ">="),
    ("&", "|", "<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
    ("||",),
)
_EQUAL = ("=", "==", "<>", "!=")
_DEEPEST = 40  # brackets in brackets


class Operand(NamedTuple):
    """Part of an expression: what it yields, and its name where it is a column."""

    kind: str
    text: str  # as it is written
    column: str = ""


def check_kinds(expression: str, kinds: Mapping[str, str], sample: Sample) -> None:
    """Raise UsageError where an expression mixes text and numbers, or is not valid SQL.

    Args:
        expression: one that `filters.check` has passed.
        kinds: INTEGER, REAL or TEXT for each column.
        sample: shows a value of a text column, one that is not a number where it has any.
    """
    parser = _Parser(expression, {name.lower(): kind for name, kind in kinds.items()}, sample)
    parser.condition(parser.either())
    if parser.next is not NOTHING:
        raise parser.unexpected()


class _Parser:
    def __init__(self, expression: str, kinds: Mapping[str, str], sample: Sample) -> None:
        self._expression, self._kinds, self._sample = expression, kinds, sample
        self._tokens = [*tokens(expression), NOTHING]
        self._place = 0
        self._depth = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._place]

    def unexpected(self) -> UsageError:
        return refused(self._expression, f"syntax error at {self.next.text or 'the end'}")

    def condition(self, operand: Operand) -> Operand:
        """Raise where text is used as true or false."""
        if operand.kind == TEXT:
            raise refused(self._expression, f"{operand.text} is text and not a condition")
        return Operand(NUMBER, operand.text)

    def either(self) -> Operand:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise refused(self._expression, f"it has more than {_DEEPEST} brackets in brackets")
        left = self._both()
        while self._passes("or"):
            self.condition(left)
            left = self.condition(self._both())
        self._depth -= 1
        return left

    def _both(self) -> Operand:
        left = self._not()
        while self._passes("and"):
            self.condition(left)
            left = self.condition(self._not())
        return left

    def _not(self) -> Operand:
        negations = 0
        while self._passes("not"):
            negations += 1
        operand = self._equality()
        return self.condition(operand) if negations else operand

    def _equality(self) -> Operand:
        left = self._level(0)
        while True:
            if self.next.text in _EQUAL:
                self._place += 1
                left = self._compared(left, self._level(0))
            elif self._passes("isnull") or self._passes("notnull") or self._passes("not", "null"):
                left = Operand(NUMBER, left.text)
            elif self._passes("is"):
                self._passes("not")
                left = self._compared(left, self._level(0))
            elif self._word() in ("in", "between", "like", "glob") or (
                self._word() == "not" and self._word(1) in ("in", "between", "like", "glob")
            ):
                self._passes("not")
                left = self._by_word(left)
            else:
                return left

    def _by_word(self, left: Operand) -> Operand:
        if self._passes("in"):
            self._need("(")
            while not self._passes(")"):
                self._compared(left, self.either())
                if not self._passes(","):
                    self._need(")")
                    break
        elif self._passes("between"):
            self._compared(left, self._level(0))
            self._need("and")
            self._compared(left, self._level(0))
        else:
            self._place += 1  # like, glob
            self._level(0)
            if self._passes("escape"):
                self._level(0)
        return Operand(NUMBER, left.text)

    def _level(self, level: int) -> Operand:
        if level == len(_LEVELS):
            return self._collated()
        left = self._level(level + 1)
        while self.next.kind == "sign" and self.next.text in _LEVELS[level]:
            sign = self.next.text
            self._place += 1
            right = self._level(level + 1)
            if level == 0:
                left = self._compared(left, right)
            elif sign == "||":
                left = Operand(TEXT, f"{left.text} || {right.text}")
            else:
                left = Operand(NUMBER, f"{self._number(left, sign).text} {sign} {self._number(right, sign).text}")
        return left

    def _collated(self) -> Operand:
        operand = self._unary()
        while self._passes("collate"):
            self._place += 1
        return operand

    def _unary(self) -> Operand:
        signs = ""
        while self.next.text in ("-", "+", "~"):
            signs += self.next.text
            self._place += 1
        operand = self._primary()
        return Operand(NUMBER, signs + self._number(operand, signs[-1]).text) if signs else operand

    def _primary(self) -> Operand:
        token = self.next
        word = token.text.lower()
        if token.text == "(":
            return self._group()
        if word == "case":
            return self._case()
        if token is NOTHING or token.kind == "sign":
            raise self.unexpected()
        self._place += 1
        if token.kind == "number" or word in ("true", "false"):
            return Operand(NUMBER, token.text)
        if token.kind == "text":
            return Operand(TEXT, token.text)
        if word == "null":
            return Operand(ANY, token.text)
        name = token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text
        if name.lower() not in self._kinds:
            self._place -= 1
            raise self.unexpected()
        return Operand(TEXT if self._kinds[name.lower()] == "TEXT" else NUMBER, token.text, name)

    def _group(self) -> Operand:
        self._place += 1
        operand = self.either()
        if self.next.text == ",":
            raise refused(self._expression, "several columns are compared at once; compare one at a time")
        self._need(")")
        return operand

    def _case(self) -> Operand:
        self._place += 1
        operand = None if self._word() == "when" else self.either()
        results: list[Operand] = []
        while self._passes("when"):
            found = self.either()
            if operand is None:
                self.condition(found)
            else:
                self._compared(operand, found)
            self._need("then")
            results.append(self.either())
        if self._passes("else"):
            results.append(self.either())
        self._need("end")
        kinds = {result.kind for result in results} - {ANY}
        if len(kinds) > 1:
            raise refused(self._expression, "case yields text in one case and a number in another")
        return Operand(kinds.pop() if kinds else ANY, "case … end")

    def _compared(self, left: Operand, right: Operand) -> Operand:
        for one, other in ((left, right), (right, left)):
            if one.kind == TEXT and other.kind == NUMBER:
                self._check_mixed(one, other)
        return Operand(NUMBER, f"{left.text} … {right.text}")

    def _check_mixed(self, text: Operand, number: Operand) -> None:
        if not text.column and number.column and text.text.startswith("'"):
            if _NUMERIC.fullmatch(text.text[1:-1]):
                return  # SQLite makes a number of it: price = '20'
            raise refused(
                self._expression,
                f"column {number.column} has numbers, and {text.text} is not one",
                hint=f"{number.text} < 20",
            )
        if text.column:
            raise refused(
                self._expression,
                f"column {text.column} has text, {self._sample(text.column)}, and {number.text} is a number",
                hint=f"{text.text} = '{number.text}' compares text; for numbers, the column of the table must hold "
                "nothing else: correct it, and run dmlcli index again",
            )
        raise refused(self._expression, f"{text.text} is text, and {number.text} is a number")

    def _number(self, operand: Operand, sign: str) -> Operand:
        if operand.kind == TEXT:
            sample = f", {self._sample(operand.column)}" if operand.column else ""
            raise refused(self._expression, f"{sign} needs numbers, and {operand.text} is text{sample}")
        return operand

    def _word(self, ahead: int = 0) -> str:
        token = self._tokens[min(self._place + ahead, len(self._tokens) - 1)]
        return token.text.lower() if token.kind == "word" else ""

    def _passes(self, *words: str) -> bool:
        """Whether these words come next; if so, they are passed by."""
        ahead = self._tokens[self._place : self._place + len(words)]
        if [token.text.lower() for token in ahead] != [*words]:
            return False
        self._place += len(words)
        return True

    def _need(self, word: str) -> None:
        if not self._passes(word):
            raise self.unexpected()
