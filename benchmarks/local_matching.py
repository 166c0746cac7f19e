"""Whether matching places of two photos finds products better than the cosine of their embeddings.

    python benchmarks/local_matching.py ../shared/data --model DIR [--draws 3] [--unknown 40] [--step 3]

In each draw a model is trained without some products, which are then added to the index. Of each photo of such a
product that training never opens, the 50 closest images are compared place by place: descriptors of the last two maps
of the backbone, in 64 principal components, whitened by the power `w`. `chamfer` is the mean over the places of the
query, weighted by their lengths, of the best cosine with a place of the image; `mutual` counts only places that are
each other's best. The new score is the cosine plus `weight` times this score, both standardized over the list. `fitted`
is a logistic regression of all of these scores, fitted with the photos of other products (five folds). Intervals (95 %)
are over products, paired. MODEL is any model with maps of the same backbone; scikit-learn fits the regression.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import held_out
from benchmarks.held_out import Trained
from dmlcli import feature_maps, prefetch
from dmlcli.catalog import Catalog
from dmlcli.image import view
from dmlcli.metrics import interval95
from dmlcli.model import open_model
from dmlcli.onnx_runtime import open_maps

MAPS, WHITENING, WEIGHTS = (feature_maps.LAST, feature_maps.EARLIER), (0.0, 0.5, 1.0), (0.25, 0.5, 1.0)
COMPONENTS, SAMPLE, DEPTH, FOLDS = 64, 300, 50, 5
Floats = NDArray[np.float32]


class Places(NamedTuple):
    """The descriptors of the places of all photos, in one map."""

    numbers: NDArray[np.float16]  # (N, places, COMPONENTS), principal components
    lengths: Floats  # (N, places) of the descriptors
    deviations: Floats  # (COMPONENTS,) of the components

    def unit(self, rows: NDArray[np.int64], whitening: float) -> Floats:
        """Return unit descriptors (n, places, COMPONENTS) of photos, each component over a power of its deviation."""
        found = self.numbers[rows].astype(np.float32) / self.deviations**whitening
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-9), dtype=np.float32)


def main() -> None:
    """Print Recall@1 by the cosine, and the differences of each way of matching."""
    parser = held_out.arguments(__doc__, draws=3, unknown=40)
    parser.add_argument("--step", type=int, default=3, help="search with every so manieth photo")
    parser.add_argument("--model", type=Path, required=True)
    asked = parser.parse_args()
    data, recipe = held_out.read_for(asked)
    places = read_places(data.photos, asked)
    rows: list[tuple[str, NDArray[np.bool_], dict[str, Floats]]] = []  # product, which are right, scores of the list
    for number in range(asked.draws):
        trained = held_out.train(data, recipe, held_out.draw(data, asked.unknown, number))
        queries = trained.queries[trained.is_unseen[trained.queries]][:: asked.step]
        rows += [matched(trained, int(row), places) for row in queries]
    names = [name for name, _, _ in rows]
    base = np.array([right[scores["cosine"].argmax()] for _, right, scores in rows], dtype=float)
    print(f"{len(rows)} queries of unseen products, cosine {100 * base.mean():.1f} % Recall@1")
    gains = {
        f"{way}, weight {weight}": np.array([_first(right, scores, way, weight) for _, right, scores in rows]) - base
        for way, weight in product(rows[0][2].keys() - {"cosine"}, WEIGHTS)
    }
    gains["fitted"] = fitted(rows) - base
    for name, gain in sorted(gains.items(), key=lambda one: -one[1].mean()):
        low, high = interval95(gain, names) or (np.nan, np.nan)
        print(f"{name:40} {100 * gain.mean():+5.1f} ({100 * low:+.1f} … {100 * high:+.1f})")


def read_places(photos: Catalog, asked: argparse.Namespace) -> dict[str, Places]:
    """Return the descriptors of all photos in each map; computed once and kept beside the features."""
    file = asked.workspace / asked.backbone / asked.data.name / "places.npz"
    if not file.exists():
        found: dict[str, Any] = _computed(photos, asked.model)
        np.savez(file, **found)
    kept = np.load(file)
    return {name: Places(*(kept[f"{name} {part}"] for part in Places._fields)) for name in MAPS}


def _computed(photos: Catalog, folder: Path) -> dict[str, NDArray[np.float16] | Floats]:
    model = open_model(folder)
    run = open_maps(model.graph) if model.graph else None
    if run is None:
        raise SystemExit(f"{folder} has no maps")

    def descriptors(row: int) -> dict[str, Floats]:
        item = photos.items[row]
        _, maps = run(view((photos.root / item.path).read_bytes(), model.record.image)[None])
        return {name: maps[name][0].reshape(maps[name].shape[1], -1).T for name in MAPS}  # (places, C)

    found: dict[str, NDArray[np.float16] | Floats] = {}
    with ThreadPoolExecutor(prefetch.cores()) as pool:
        chosen = np.random.default_rng(0).choice(len(photos.items), min(SAMPLE, len(photos.items)), replace=False)
        sample = list(pool.map(descriptors, chosen))
        bases = {name: _principal(np.concatenate([one[name] for one in sample])) for name in MAPS}
        every = pool.map(lambda row: _reduced(descriptors(row), bases), range(len(photos.items)))
        for row, parts in enumerate(every):
            for name, (numbers, lengths) in parts.items():
                if not row:
                    found[f"{name} numbers"] = np.zeros((len(photos.items), *numbers.shape), np.float16)
                    found[f"{name} lengths"] = np.zeros((len(photos.items), len(lengths)), np.float32)
                    found[f"{name} deviations"] = bases[name][2]
                found[f"{name} numbers"][row], found[f"{name} lengths"][row] = numbers, lengths
    return found


def _principal(rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean (C,), components (C, COMPONENTS) and deviations of unit descriptors (n, C)."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    mean = unit.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((unit - mean).T))
    order = np.argsort(-values)[:COMPONENTS]
    return mean, vectors[:, order].astype(np.float32), np.sqrt(np.maximum(values[order], 1e-12)).astype(np.float32)


def _reduced(
    parts: dict[str, Floats], bases: dict[str, tuple[Floats, Floats, Floats]]
) -> dict[str, tuple[Floats, Floats]]:
    found = {}
    for name, rows in parts.items():
        mean, components, _ = bases[name]
        lengths = np.linalg.norm(rows, axis=1)
        found[name] = ((rows / np.maximum(lengths, 1e-9)[:, None] - mean) @ components, lengths)
    return found


def matched(
    trained: Trained, query: int, places: dict[str, Places]
) -> tuple[str, NDArray[np.bool_], dict[str, Floats]]:
    """Return the product of a query, which of its closest images show it, and the scores of these images by way."""
    gallery = np.concatenate([trained.gallery, trained.unseen])
    cosines = trained.vectors[gallery] @ trained.vectors[query]
    top = np.argsort(-cosines, kind="stable")[:DEPTH]
    scores = {"cosine": cosines[top]}
    for name, whitening in product(MAPS, WHITENING):
        own = places[name].unit(np.array([query]), whitening)[0]
        similar = np.einsum("ad,kbd->kab", own, places[name].unit(gallery[top], whitening))
        weights = places[name].lengths[query] / places[name].lengths[query].sum()
        best = similar.max(axis=2)  # (K, places of the query)
        back = np.take_along_axis(similar.argmax(axis=1), similar.argmax(axis=2), axis=1)
        scores[f"{name} w={whitening:g} chamfer"] = best @ weights
        scores[f"{name} w={whitening:g} mutual"] = (best * (back == np.arange(len(own)))) @ weights
    return str(trained.names[query]), trained.names[gallery[top]] == trained.names[query], scores


def _first(right: NDArray[np.bool_], scores: dict[str, Floats], way: str, weight: float) -> float:
    return float(right[(_standard(scores["cosine"]) + weight * _standard(scores[way])).argmax()])


def _standard(scores: Floats) -> Floats:
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), 1e-9), dtype=np.float32)


def fitted(rows: list[tuple[str, NDArray[np.bool_], dict[str, Floats]]]) -> NDArray[np.float64]:
    """Return Recall@1 of each query by a regression of all scores that was fitted without its product."""
    from sklearn.linear_model import LogisticRegression

    inputs = [np.stack([_standard(one) for one in scores.values()], axis=1) for _, _, scores in rows]
    products = sorted({name for name, _, _ in rows})
    fold = np.array([products.index(name) % FOLDS for name, _, _ in rows])
    found = np.zeros(len(rows))
    for held in range(FOLDS):
        known = np.flatnonzero(fold != held)
        model = LogisticRegression(C=0.1, max_iter=1000)
        model.fit(np.concatenate([inputs[row] for row in known]), np.concatenate([rows[row][1] for row in known]))
        for row in np.flatnonzero(fold == held):
            found[row] = rows[row][1][model.decision_function(inputs[row]).argmax()]
    return found


if __name__ == "__main__":
    main()
