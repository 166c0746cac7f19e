"""What a package hands out is listed in `__all__`, is there, and says what it is."""

import ast
import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.places import ROOT

STARS = "dmlcli.options"  # the signatures of commands name its options; a list would name every one twice


def packages() -> list[str]:
    """Our packages, by their dotted names."""
    found = (file.parent.relative_to(ROOT) for file in (ROOT / "dmlcli").rglob("__init__.py"))
    return sorted(".".join(path.parts) for path in found)


def source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")


def handed_out(tree: ast.Module) -> set[str]:
    """The public names that a package defines, or imports from within itself; also those of `if TYPE_CHECKING`."""
    found = set()
    for node in [*tree.body, *(inner for outer in tree.body if isinstance(outer, ast.If) for inner in outer.body)]:
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("dmlcli"):
                found |= {name.asname or name.name for name in names}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return {name for name in found if not name.startswith("_")}


def comment_of(name: str, package: ModuleType) -> str:
    """The comment beside a constant where it is defined: in the package, or in the module that it is imported from."""
    for node in ast.walk(ast.parse(source(package))):
        if isinstance(node, ast.ImportFrom) and node.module and any(one.name == name for one in node.names):
            return comment_of(name, import_module(node.module))
    text = source(package)
    for node in ast.parse(text).body:
        targets: list[Any] = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
            return "".join(line.partition("  # ")[2] for line in lines)
    return ""


@pytest.mark.parametrize("name", [name for name in packages() if name != STARS])
def test_a_package_that_hands_something_out_lists_it(name: str) -> None:
    package = import_module(name)
    if handed_out(ast.parse(source(package))):
        assert package.__all__


@pytest.mark.parametrize("name", [name for name in packages() if hasattr(import_module(name), "__all__")])
def test_each_listed_name_is_there_and_says_what_it_is(name: str) -> None:
    package = import_module(name)
    for listed in package.__all__:
        found = inspect.unwrap(getattr(package, listed))
        if inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found):
            assert found.__doc__ and not found.__doc__.startswith(f"{listed}("), f"{name}.{listed}"
        else:
            assert comment_of(listed, package), f"{name}.{listed}"
