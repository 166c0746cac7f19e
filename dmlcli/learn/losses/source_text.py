"""What files of losses and miners say of themselves, read from their source: importing them would import torch."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from dmlcli.spec_strings import WordSetting


def names(folder: Path) -> list[str]:
    """Return the names that the files of a folder stand for: those with a class of the file's own name."""
    found = (file.stem.replace("_", "-") for file in folder.glob("*.py"))
    return sorted(name for name in found if f"class {class_name(name)}(" in read(folder, name))


def class_name(name: str) -> str:
    """Return the class of a name: `FastAp` for `fast-ap`."""
    return "".join(word.capitalize() for word in name.split("-"))


@cache
def read(folder: Path, name: str) -> str:
    """Return the text of the file of a name."""
    return (folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")


def parsed(folder: Path, name: str) -> tuple[ast.Module, ast.ClassDef]:
    """Return the file of a name and its class."""
    tree = ast.parse(read(folder, name))
    return tree, next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name(name))


def arguments(owner: ast.ClassDef, function: str) -> set[str]:
    """Return the names of the arguments of a method."""
    found = next(node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return {argument.arg for argument in found.args.args}


def sections(docstring: str, titles: list[str]) -> dict[str, str]:
    """Cut a docstring at the lines that start with `Title:` (going on below, indented); under "" what comes before."""
    sections = dict.fromkeys(["", *titles], "")
    title = ""
    for line in docstring.split("\n"):
        word, colon, text = line.partition(":")
        if colon and word in titles:
            title, line = word, text
        sections[title] += line.removeprefix("    ").rstrip() + "\n"
    return {title: text.strip() for title, text in sections.items()}


def joined(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())


def items(section: str) -> Iterable[tuple[str, str]]:
    """Yield the pairs of lines such as `name: meaning`, indented as in a docstring; a meaning may go on below."""
    for item in re.split(r"\n(?=\w+: )", section):
        name, colon, text = item.partition(": ")
        if colon:
            yield name, joined(text)


def settings(owner: ast.ClassDef, meanings: dict[str, str]) -> Iterable[WordSetting]:
    """Yield the settings of a class: the keyword-only arguments of its constructor, with the meaning of each."""
    for constructor in owner.body:
        if isinstance(constructor, ast.FunctionDef) and constructor.name == "__init__":
            taken = constructor.args
            for argument, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True):
                value, kinds = ast.literal_eval(default) if default else None, tuple(_kinds(argument.annotation))
                yield WordSetting(argument.arg, kinds, value, meanings.get(argument.arg, ""))


@cache
def _words_of_distance() -> ast.expr:
    """Return the Literal that `Distance` stands for."""
    tree = ast.parse(read(Path(__file__).parent, "distances"))
    return next(node.value for node in tree.body if isinstance(node, ast.Assign) and "Distance" in ast.unparse(node))


def _kinds(annotation: Any) -> list[str]:
    """Return the kinds that an annotation such as `float | None`, `tuple[int, ...]`, `Literal["a", "b"]` or `Distance`
    names.
    """
    if isinstance(annotation, ast.Name) and annotation.id == "Distance":
        return _kinds(_words_of_distance())
    if isinstance(annotation, ast.BinOp):
        return _kinds(annotation.left) + _kinds(annotation.right)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "tuple":
        return ["ints"]
    if isinstance(annotation, ast.Subscript):
        choices = annotation.slice
        return [str(ast.literal_eval(node)) for node in (choices.elts if isinstance(choices, ast.Tuple) else [choices])]
    return [ast.unparse(annotation)]
