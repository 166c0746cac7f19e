"""Ranked lists of other tools: parsing, matching with the catalog, and evaluation.

A list is what `dmlcli query` prints: JSON lines ({"query", "hits": [{"score", "image"}]}), or a table with the columns
query, rank, score, product, image: CSV with a header, or TSV without. Only query and image are needed; the order is
that of the scores, else of the ranks, else of the lines. The products in it are not believed: the catalog knows.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dmlcli import printable
from dmlcli.catalog import Item
from dmlcli.errors import EmbeddingsError
from dmlcli.evaluation.query_results import QueryResults
from dmlcli.metrics.ranked import UNSEEN
from dmlcli.ranking import TIE
from dmlcli.types import Rows

_COLUMNS = ("query", "rank", "score", "product", "image")
Lists = dict[str, list[tuple[str, float]]]  # query -> image and score, higher is better


def open_lists(file: Path) -> Lists:
    """Read ranked lists; raises EmbeddingsError where the file holds none."""
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            read = _from_json if first.startswith("{") else _from_table
            lists = read(stream.read().splitlines(), first)
    except FileNotFoundError as error:
        raise EmbeddingsError(f"file not found: {file}", hint="--ranked takes the output of dmlcli query") from error
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        raise EmbeddingsError(
            f"invalid ranked list {file}: {error}",
            hint="expected the columns query, rank, score, product, image; or JSON Lines",
        ) from error
    if not lists:
        raise EmbeddingsError(f"no ranked lists in {file}", hint="--ranked takes the output of dmlcli query")
    return lists


def evaluate_lists(
    lists: Lists,
    query_items: Sequence[Item],
    gallery_items: Sequence[Item],
    roots: tuple[Path, Path],
    excluded: Callable[[int], Rows] | None,
) -> tuple[QueryResults, int, list[str]]:
    """Evaluate ranked lists like a search.

    A relevant image that is not in its list counts as not found within the length of the list.

    Args:
        lists: the hits of each query, by path.
        query_items, gallery_items: the items of queries and gallery.
        roots: the folders that their paths are relative to.
        excluded: returns the gallery rows that a query may not find; None: no exclusions.

    Returns:
        The results, the number of hits that are known of each query, and notes for the user.

    Raises:
        UsageError: no query of the lists is in the catalog.
    """
    queries, rows = _places(query_items, roots[0]), _places(gallery_items, roots[1])
    found: dict[int, list[tuple[int, float]]] = {}
    foreign = unknown = 0
    for name, hits in lists.items():
        query = queries.get(_key(Path(name))) if _key(Path(name)) in queries else queries.get(name)
        if query is None:
            foreign += 1
            continue
        places = [(rows.get(_key(Path(image)), rows.get(image, -1)), score) for image, score in hits]
        unknown += sum(row < 0 for row, _ in places)
        found[query] = [place for place in places if place[0] >= 0]
    if not found:
        example = next(iter(lists))
        raise EmbeddingsError(
            f"none of the {len(lists)} queries of the lists is in the catalog, first {example}",
            hint="specify the catalog of the queries with --queries; paths must match those of the catalog",
        )
    notes = []
    if foreign:
        notes.append(f"{foreign} lists without a query in the catalog are ignored")
    if unknown:
        notes.append(f"{unknown} hits that are not in the gallery are ignored")
    if silent := len(query_items) - len(found):
        notes.append(f"{silent} queries without a list count as not found")
    return *_evaluate(found, query_items, gallery_items, excluded), notes


def _evaluate(
    found: dict[int, list[tuple[int, float]]],
    query_items: Sequence[Item],
    gallery_items: Sequence[Item],
    excluded: Callable[[int], Rows] | None,
) -> tuple[QueryResults, int]:
    products = np.array([item.product for item in gallery_items])
    members = defaultdict(list)
    for row, item in enumerate(gallery_items):
        members[item.product].append(row)
    nothing = np.full(len(query_items), np.nan)
    results = QueryResults(
        [item.product for item in query_items],
        [],
        nothing.copy(),
        np.full(len(query_items), -1),
        nothing.copy(),
        np.full(len(query_items), -1),
    )
    depth = len(gallery_items)
    for query, item in enumerate(query_items):
        gone = set(excluded(query).tolist()) if excluded else set()
        hits = [(row, score) for row, score in dict(reversed(found.get(query, []))).items() if row not in gone]
        hits.sort(key=lambda hit: -hit[1])
        relevant = len(set(members[item.product]) - gone) if item.product else 0
        right = [(row, score) for row, score in hits if products[row] == item.product]
        wrong = [(row, score) for row, score in hits if products[row] != item.product]
        behind = np.array([score for _, score in wrong])
        ranks = [1 + place + int((behind >= score - TIE).sum()) for place, (_, score) in enumerate(right)]
        results.rankings.append(np.array(ranks + [UNSEEN] * (relevant - len(ranks)), dtype=np.int64))
        if right:
            results.right_row[query], results.right[query] = right[0]
        if wrong:
            results.wrong_row[query], results.wrong[query] = wrong[0]
        if query in found and len(hits) < len(gallery_items) - len(gone):
            depth = min(depth, len(hits))
    return results, depth


def _from_json(lines: Sequence[str], _: str) -> Lists:
    lists: Lists = {}
    for line in lines:
        if line.strip():
            answer = json.loads(line)
            for one in answer.get("answers", [answer]):
                hits = one["hits"]
                lists[str(one["query"])] = [
                    (str(hit["image"]), float(hit["score"]) if "score" in hit else -float(place))
                    for place, hit in enumerate(hits)
                ]
    return lists


def _from_table(lines: Sequence[str], first: str) -> Lists:
    plain = "\t" in first
    table = csv.reader(lines, delimiter="\t" if plain else ",", quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL)
    read = printable.from_tsv if plain else printable.from_csv
    rows = [[read(cell) for cell in row] for row in table if row]
    heading = list(_COLUMNS)
    if "query" in [cell.strip().lower() for cell in rows[0]]:
        heading = [cell.strip().lower() for cell in rows.pop(0)]
    place = {name: heading.index(name) for name in _COLUMNS if name in heading}
    if missing := [name for name in ("query", "image") if name not in place]:
        raise ValueError(f"it has no column {' and no column '.join(missing)}")
    lists: Lists = defaultdict(list)
    for row in rows:
        hits = lists[row[place["query"]]]
        score = (
            float(row[place["score"]])
            if "score" in place
            else -float(row[place["rank"]] if "rank" in place else len(hits))
        )
        hits.append((row[place["image"]], score))
    return dict(lists)


def _places(items: Sequence[Item], root: Path) -> dict[str, int]:
    """Return the row of each image by its full path, and as the catalog writes it."""
    places = {item.path: row for row, item in enumerate(items)}
    return places | {_key(root / item.path): row for row, item in enumerate(items)}


def _key(path: Path) -> str:
    return str(path.absolute())
