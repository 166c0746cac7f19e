"""Problems of a catalog: counts and examples as text, or all of them for scripts."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.report.doctor import Census, DoctorReport, Problem

_SHOWN = 3  # of each problem, to people
_BAR = 40  # characters of the longest bar
_TITLES = {
    "missing": "missing files",
    "unreadable": "unreadable files",
    "truncated": "truncated files",
    "blank": "photos of a single color",
    "tiny": "very small photos",
    "long": "photos with an extreme aspect ratio",
    "cmyk": "CMYK photos",
    "16-bit": "photos with 16 or more bits per channel",
    "listed-twice": "files that are listed twice or linked",
    "two-products": "photos under two products",
    "across-splits": "photos in two splits",
    "duplicate": "duplicate files",
    "near-duplicate": "near-duplicate photos",
    "series": "products photographed in series: leave-one-out scores are too high",
    "homonym": "product names in several categories",
    "huge": "very large photos",
    "palette": "photos with a palette",
    "alpha": "photos with transparent parts, shown on white",
    "rotated": "photos with an EXIF rotation, which dmlcli applies",
    "single-photo": "products with one photo",
}


class _Kind:
    """All problems of one kind, of which the first are kept."""

    def __init__(self) -> None:
        self.number = 0
        self.first: list[Problem] = []


def show(report: DoctorReport, format: str) -> int:
    """Print the problems; return 1 where there are any beside notices, else 0."""
    found = False

    def watched() -> Iterator[Problem]:
        nonlocal found
        for problem in report.problems:
            found |= problem.severity == "problem"
            yield problem

    _WRITERS[format](report, watched())
    return int(found)


def _table(report: DoctorReport, problems: Iterator[Problem]) -> None:
    kinds: dict[str, _Kind] = {}
    for problem in problems:
        kind = kinds.setdefault(problem.problem, _Kind())
        kind.number += 1
        if len(kind.first) < _SHOWN:
            kind.first.append(problem)
    _census(report.census)
    order = [*_TITLES, *sorted(kinds.keys() - _TITLES.keys())]
    for severity in ("problem", "notice"):
        for name in order:
            if name in kinds and kinds[name].first[0].severity == severity:
                _group(name, kinds[name], report.root)
    number = sum(kind.number for kind in kinds.values() if kind.first[0].severity == "problem")
    print(formatting.count(number, "problem") if number else "no problems")


def _group(name: str, kind: _Kind, root: str) -> None:
    from rich.text import Text

    def dim(text: str) -> Text:
        return formatting.text(text, style="dim")

    mark = ("●", "red") if kind.first[0].severity == "problem" else ("○", "dim")
    console = formatting.console()
    title = formatting.text(f"{_TITLES.get(name, name)}: {kind.number}", style="bold")
    console.print(Text.assemble(mark, " ", title, dim(f"  {name}")))
    for problem in kind.first:
        other = f" = {_short(problem.other, root)}" if problem.other else ""
        line = Text.assemble(formatting.text(f"    {_short(problem.path, root)}{other}"), dim(f"  {problem.detail}"))
        console.print(line, soft_wrap=True)
    if kind.number > _SHOWN:
        console.print(dim(f"    … and {kind.number - _SHOWN} more (--format jsonl lists all)"))
    console.print(dim(f"  → {kind.first[0].suggestion}"), soft_wrap=True)
    console.print()


def _census(census: Census) -> None:
    parts = [f"{formatting.count(census.images, 'image')} of {formatting.count(census.products, 'product')}"]
    if census.categories:
        parts.append(formatting.count(census.categories, "category", "categories"))
    if census.without_product:
        parts.append(f"{census.without_product} without a product")
    formatting.say("; ".join(parts))
    if census.splits:
        formatting.say("splits: " + ", ".join(f"{name} {number}" for name, number in census.splits.items()))
    if not census.histogram:
        print()
        return
    width = max(len("images"), 2 * len(str(census.histogram[-1][1])) + 1)
    print(f"\n{'images':>{width}}  products")
    most = max(products for _, _, products in census.histogram)
    for fewest, largest, products in census.histogram:
        span = str(fewest) if fewest == largest else f"{fewest}-{largest}"
        bar = "█" * max(round(_BAR * products / most), int(products > 0))
        print(f"{span:>{width}}  {products:<8} {bar}".rstrip())
    print()


def _short(path: str, root: str) -> str:
    """Return the path as the catalog knows it."""
    try:
        return str(Path(path).relative_to(root))
    except ValueError:
        return path


def _jsonl(report: DoctorReport, problems: Iterator[Problem]) -> None:
    for problem in problems:
        formatting.row(printable.dumps({"schema": formatting.SCHEMA} | asdict(problem)), flush=True)


def _json(report: DoctorReport, problems: Iterator[Problem]) -> None:
    listed = [asdict(problem) for problem in problems]
    whole = {
        "schema": formatting.SCHEMA,
        "catalog": report.catalog,
        "root": report.root,
        "census": asdict(report.census),
    }
    formatting.row(printable.dumps(whole | {"problems": listed}))


_WRITERS: dict[str, Callable[[DoctorReport, Iterator[Problem]], None]] = {
    "table": _table,
    "jsonl": _jsonl,
    "json": _json,
}
