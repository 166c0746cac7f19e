"""docs/scaling.md contains the tables that benchmarks/scaling.py computes from the stored rates."""

from dataclasses import replace

from benchmarks import scaling


def test_the_tables_are_those_of_the_rates() -> None:
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling.written(page, scaling.table(scaling.kept())) == page, "run `python -m benchmarks.scaling`"


def test_the_arithmetic_by_hand() -> None:
    rates = replace(scaling.kept(), embed=0.0128, graph_memory=1306, exact=50e-9)
    lines = {line.split(" | ")[0].strip("| "): line.split(" | ")[2:] for line in scaling.table(rates).splitlines()}
    assert [cell.strip("| ") for cell in lines["embedding, core-time"]] == ["3.6 h", "15 days", "4.1 years"]
    assert [cell.strip("| ") for cell in lines["query nodes with 64 GB for the graph"]] == ["1", "3", "273"]
    assert [cell.strip("| ") for cell in lines["exact search, core-time per query"]] == ["50 ms", "5.0 s", "8.3 min"]
