"""No module imports one that imports it, directly or through others, when it is loaded or later."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.places import ROOT

Imports = dict[str, set[str]]  # module -> modules that it imports


def modules() -> dict[str, Path]:
    """Our modules by their dotted names."""
    found = {}
    for file in (ROOT / "dmlcli").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def statements(node: ast.AST, *, in_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements below a node that are run: none for types alone; those in functions where asked for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        elif in_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(child, in_functions=in_functions)


def imports(sources: dict[str, str], *, in_functions: bool) -> Imports:
    """What each module imports of the others; what a package loads of its own in a function does not count."""
    found: Imports = {}
    for name, source in sources.items():
        tree = ast.parse(source)
        wanted = set()
        for statement in statements(tree, in_functions=in_functions):
            base = getattr(statement, "module", None)
            for alias in statement.names:
                full = f"{base}.{alias.name}" if base else alias.name
                wanted.add(full if full in sources else base)
        own = {other for other in wanted if other and other.startswith(f"{name}.")} if in_functions else set()
        found[name] = {other for other in wanted - own - {name} if other in sources}
    return found


def circle(found: Imports) -> list[str]:
    """The modules of a circle, each importing the one before; empty where there is none."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("in_functions", [False, True])
def test_no_modules_import_each_other(in_functions: bool) -> None:
    sources = {name: file.read_text(encoding="utf-8") for name, file in modules().items()}
    found = imports(sources, in_functions=in_functions)
    assert sum(map(len, found.values())) > 500  # they are seen
    assert not circle(found)


def test_a_circle_is_found() -> None:
    sources = {
        "a": "from b import x",
        "b": "if True:\n    import c",
        "c": "def f():\n    from a import y",
        "d": "import a",
    }
    assert not circle(imports(sources, in_functions=False))
    assert set(circle(imports(sources, in_functions=True))) == {"a", "b", "c"}
    for_types = sources | {"c": "if TYPE_CHECKING:\n    import a"}
    assert not circle(imports(for_types, in_functions=True))
