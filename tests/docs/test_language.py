"""Retired words do not come back: docs, messages and code use the terms of docs/glossary.md."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

RETIRED = re.compile(  # in no tracked text
    r"\b(lessons?|matters?|rehears\w*|strangers?|errands?|told|ships|heeded|closed form|second thoughts|as ever"
    r"|so much as|cut anew|known/new)\b",
    re.IGNORECASE,
)
PHRASES = re.compile(  # in docs, benchmarks and reworded modules, comments and docstrings included
    r"\b(anew|judg(e|es|ed|ing)|misspelt|asked for|whoever|nobody|by heart|bare embeddings|leaves out|takes no"
    r"|there (is|are) no such|is no (?!longer|more)\w+|speaks? of|fellows|tells|taken for|goes by|lets? go of"
    r"|(known|new) products|in the way|stand(s|ing)? still|worth a word)\b",
    re.IGNORECASE,
)
MESSAGES = re.compile(  # in strings of reworded modules, which may be shown to users
    r"\b(there (is|are) (no|nothing)|nothing is called|said|knows? no|leave (it|them|one of them) out|anew)\b",
    re.IGNORECASE,
)
IN_DOCS = re.compile(r"\b(verbs?|nouns?|said|as it stands|of which|have it|will do|and so forth)\b", re.IGNORECASE)
TITLES = ("Sampling Matters in Deep Embedding Learning",)  # of papers
FOLDERS = ("dmlcli", "tests", "docs", "benchmarks", "sample_data", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PENDING = ("docs/cli.md",)  # generated from the options
needs_checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout: the tracked files are unknown")


def texts(*folders: str) -> list[str]:
    """Return the paths of all tracked texts, without recorded data and this test."""
    command = ["git", "ls-files", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    suffixes = (".py", ".md", ".toml", ".sh", ".html", ".css", ".js")
    return [path for path in listed if path.endswith(suffixes) and path != "tests/docs/test_language.py"]


def reworded(*folders: str) -> list[str]:
    """Return the paths of the texts to which all patterns apply."""
    return [path for path in texts(*folders) if not path.startswith(("tests/", *PENDING))]


def matches(pattern: re.Pattern[str], paths: list[str]) -> list[str]:
    """Return file, line and word of each match."""
    found = []
    for path in paths:
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            for title in TITLES:
                line = line.replace(title, "")
            line = line.replace("_", " ") if pattern is RETIRED else line
            found += [f"{path}:{number}: {match[0]}" for match in pattern.finditer(line)]
    return found


@needs_checkout
def test_retired_words_do_not_come_back() -> None:
    assert not (found := matches(RETIRED, texts(*FOLDERS))), "\n".join(found)


@needs_checkout
def test_phrases_that_need_a_second_reading_do_not_come_back() -> None:
    found = matches(PHRASES, reworded(*FOLDERS)) + matches(IN_DOCS, reworded("docs/*.md", "*.md"))
    assert not found, "\n".join(found)


def _strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the strings of a module that are not docstrings."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(node.body[0].value) for node in nodes if node.body and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


@needs_checkout
def test_messages_use_plain_forms() -> None:
    found = [
        f"{path}:{node.lineno}: {node.value!r}"
        for path in reworded("dmlcli")
        if path.endswith(".py")
        for node in _strings(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if MESSAGES.search(str(node.value))
    ]
    assert not found, "\n".join(found)


def test_the_glossary_is_in_order_and_has_each_term_once() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    terms = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]
    assert len(terms) > 20 and terms == sorted(terms, key=str.lower) and len(terms) == len(set(terms))


def _public_functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Yield the public functions of a module and the public methods of its public classes."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        for function in inside:
            if isinstance(function, ast.FunctionDef) and (function.name == "__call__" or function.name[0] != "_"):
                yield function


def _parameters(function: ast.FunctionDef) -> list[str]:
    """Return the names of parameters, without those of commands, whose help text is in `options/`."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    documented = {arg.arg for arg in given if arg.annotation is not None and "options." in ast.unparse(arg.annotation)}
    return [arg.arg for arg in given if arg.arg not in {"self", "cls"} | documented]


def _described(function: ast.FunctionDef) -> set[str]:
    """Return the parameters that the Args section of a docstring describes."""
    section = re.search(r"^Args:\n((?:    .*\n?)+)", ast.get_docstring(function) or "", re.MULTILINE)
    lines = re.findall(r"^    (\w[\w, ]*):", section[1], re.MULTILINE) if section else []
    return {name for line in lines for name in line.split(", ")}


def test_public_functions_describe_three_and_more_parameters() -> None:
    found = []
    for path in sorted((ROOT / "dmlcli").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        for function in _public_functions(path):
            if function.name in ("forward", "definition") and name.startswith("dmlcli/learn/"):
                continue  # the contract of all losses: interface.py describes it once
            if function.name == "select" and name.startswith("dmlcli/learn/losses/miners/"):
                continue  # that of all miners: miners/interface.py
            parameters = _parameters(function)
            if len(parameters) >= 3 and (lacking := set(parameters) - _described(function)):
                found.append(f"{name}:{function.lineno} {function.name}: {', '.join(sorted(lacking))}")
    assert not found, "\n".join(found)
