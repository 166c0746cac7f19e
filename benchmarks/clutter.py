"""How well a product is found in a cluttered photo, without and with `query --crop auto`, on the grocery photos.

    python benchmarks/clutter.py ../shared/data [--workspace DIR] [--each 3] [--seed 1]

16 of the 81 products are held out; a model is trained on splits train and val of the others, and these are indexed.
Test photos of the others are pasted, at 20 to 40 % of the area, on other pictures: a photo of a held-out product, the
same blurred, or a random texture. Position, share, shape and background are seeded. Printed are Recall@1 by product
and its paired change with 95 % intervals by product, for clean and pasted photos; the time of a query in one process,
CPU without starting up; what share of the match map of the first hit (its positive terms) lies in the pasted photo; and
how many photos of the held-out products are answered at --max-false-accepts 5%. With --gallery, five training photos of
each product are indexed instead, clean and pasted, without and with `index --crop auto`.
"""

import argparse
import csv
import io
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

sys.path.insert(0, str(Path(__file__).parents[1]))

import dmlcli
from dmlcli import metrics
from dmlcli.image import view
from dmlcli.report.query import Answer
from dmlcli.search.match_map import open_map_model
from dmlcli.search_session import open_session

HELD_OUT, SHARES = 16, (0.2, 0.4)  # products; of the area of a photo
SHAPES = (4 / 3, 1.0, 3 / 4)  # width over height
KINDS = ("photo", "texture", "blurred")  # backgrounds
Box = tuple[float, float, float, float]


class Pasted(NamedTuple):
    """A photo on a background."""

    product: str
    clean: bytes
    data: bytes
    box: Box  # of the photo, in pixels


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "dmlcli-clutter")
    parser.add_argument("--each", type=int, default=3, help="test photos of each product")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gallery", action="store_true")
    asked = parser.parse_args()
    rows = list(csv.DictReader((asked.data / "grocery_images.csv").open()))
    unknown = set(random.Random(0).sample(sorted({row["fine"] for row in rows}), HELD_OUT))
    prepare(asked.data, asked.workspace, rows, unknown)
    photos = list(paste(asked.data, rows, unknown, asked.each, random.Random(asked.seed)))
    if asked.gallery:
        compare_galleries(asked.workspace, photos, list(paste(asked.data, rows, unknown, 5, random.Random(5), "train")))
        return
    names = [photo.product for photo in photos]
    right: dict[str, NDArray[np.float64]] = {}
    for name, images in (("clean", [one.clean for one in photos]), ("pasted", [one.data for one in photos])):
        for crop in (None, "auto"):
            answers, seconds = search(asked.workspace, images, crop)
            found = [bool(answer.hits) and answer.hits[0].product for answer in answers]
            hit = np.array([own == product for own, product in zip(found, names, strict=True)], float)
            right[f"{name} {crop}"] = hit
            print(f"{name}, --crop {crop}: {100 * hit.mean():.1f} R@1, {1000 * seconds:.0f} ms a photo", flush=True)
            if name == "pasted":
                print(f"  explained in the pasted photo: {100 * explained(asked.workspace, photos, answers):.0f} %")
        change = right[f"{name} auto"] - right[f"{name} None"]
        low, high = metrics.interval95(change, names) or (0, 0)
        print(f"{name}: change {100 * change.mean():+.1f} ({100 * low:+.1f} ... {100 * high:+.1f})")
    outside = [
        (asked.data / row["path"]).read_bytes()
        for row in rows
        if row["fine"] in unknown and row["source_split"] == "test"
    ][:: max(1, 16 // asked.each)]
    for crop in (None, "auto"):
        answers, _ = search(asked.workspace, outside, crop, max_false_accepts="5%")
        accepted = np.mean([bool(answer.hits) for answer in answers])
        print(f"unknown products at 5 %, --crop {crop}: {100 * accepted:.1f} % of {len(outside)} answered")


def prepare(data: Path, workspace: Path, rows: Sequence[dict[str, str]], unknown: set[str]) -> None:
    """Train and index the products that are not held out, unless the workspace has them."""
    if (workspace / "index").exists():
        return
    workspace.mkdir(parents=True, exist_ok=True)
    table = workspace.with_suffix(".csv")
    known = [row for row in rows if row["fine"] not in unknown and row["source_split"] != "test"]
    lines = [f"{row['path']},{row['fine']},{row['source_split']}" for row in known]
    table.write_text("\n".join(["path,product,split", *lines]) + "\n")
    dmlcli.train(table, root=data, workspace=workspace)


def paste(
    data: Path, rows: Sequence[dict[str, str]], unknown: set[str], each: int, rng: random.Random, split: str = "test"
) -> "list[Pasted]":
    """Return some photos of each product, each on a background."""
    by_product: dict[str, list[str]] = {}
    for row in rows:
        if row["source_split"] == split:
            by_product.setdefault(row["fine"], []).append(row["path"])
    others = [path for product in sorted(unknown) for path in by_product[product]]
    found = []
    for product in sorted(set(by_product) - unknown):
        for path in rng.sample(by_product[product], min(each, len(by_product[product]))):
            photo = Image.open(data / path).convert("RGB")
            area = photo.width * photo.height / rng.uniform(*SHARES)
            width = max(photo.width, round((area * rng.choice(SHAPES)) ** 0.5))
            height = max(photo.height, round(area / width))
            whole = background(data, others, (width, height), rng)
            left, top = rng.randint(0, width - photo.width), rng.randint(0, height - photo.height)
            whole.paste(photo, (left, top))
            stream = io.BytesIO()
            whole.save(stream, "JPEG", quality=92)
            box = (left, top, left + photo.width, top + photo.height)
            found.append(Pasted(product, (data / path).read_bytes(), stream.getvalue(), box))
    return found


def compare_galleries(workspace: Path, photos: "Sequence[Pasted]", indexed: "Sequence[Pasted]") -> None:
    """Print Recall@1 by product in galleries of clean and of pasted photos, by what is cropped."""
    kinds = {"clean": attrgetter("clean"), "pasted": attrgetter("data")}
    for kind, crop in itertools.product(kinds, (None, "auto")):
        with tempfile.TemporaryDirectory() as text:
            folder, place = Path(text) / "catalog", Path(text) / "workspace"
            for number, photo in enumerate(indexed):
                (folder / photo.product).mkdir(parents=True, exist_ok=True)
                (folder / photo.product / f"{number}.jpg").write_bytes(kinds[kind](photo))
            dmlcli.index(folder, crop=crop, model=workspace / "model", workspace=place)
            for asked, query_crop in itertools.product(kinds, (None, "auto")):
                answers, _ = search(place, list(map(kinds[asked], photos)), query_crop)
                right = [answer.hits[0].product == photo.product for answer, photo in zip(answers, photos, strict=True)]
                crops = f"{kind} gallery, --crop {crop}; {asked} photos, --crop {query_crop}"
                print(f"{crops}: {100 * np.mean(right):.1f} R@1", flush=True)


def background(data: Path, others: Sequence[str], size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Return a photo of another product, the same blurred, or a texture."""
    kind = rng.choice(KINDS)
    if kind == "texture":
        side = rng.choice((4, 8, 24, 64))
        patches = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, (side, side, 3), dtype=np.uint8)
        return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)
    photo = ImageOps.fit(Image.open(data / rng.choice(others)).convert("RGB"), size)
    return photo.filter(ImageFilter.GaussianBlur(max(size) / 40)) if kind == "blurred" else photo


def search(workspace: Path, images: Sequence[bytes], crop: str | None, **options: Any) -> tuple[list[Answer], float]:
    """Return the answers, and the seconds of one, searched one by one as a server does."""
    from dmlcli.encoder import Encoder
    from dmlcli.search import query_options
    from dmlcli.search.cropping import Cropper
    from dmlcli.search.encoding import one_by_one
    from dmlcli.search.query_engine import QueryEngine
    from dmlcli.search.query_inputs import QueryInput

    session = open_session(None, None, workspace)
    model = session.model()
    wanted = query_options.read(top_k=5, crop=crop, **options)
    plan, moves, _ = query_options.resolve(wanted, session.gallery, session.items, model)
    encoder = Encoder(model, few=True)
    cropper = Cropper(model, encoder.forward, wanted.crop) if wanted.crop is not None else None
    inputs = [QueryInput(str(number), data) for number, data in enumerate(images)]

    def encode(sources: Any) -> Any:
        return cropper.encode(sources) if cropper else one_by_one(sources, encoder.view, encoder.forward)

    engine = QueryEngine(session.gallery, session.items, plan, encode)
    list(engine.answers(inputs[:1], moves, None))  # the first one is slower
    since = time.process_time()
    answers = list(engine.answers(inputs, moves, None))
    return answers, (time.process_time() - since) / len(images)


def explained(workspace: Path, photos: Sequence[Pasted], answers: Sequence[Answer]) -> float:
    """Return what share of the positive terms of the cosines of first hits lies inside the pasted photos."""
    from dmlcli.image import Picture, kept_box

    session = open_session(None, None, workspace)
    model = session.model()
    maps, settings = open_map_model(model), model.record.image
    shares = []
    for photo, answer in zip(photos, answers, strict=True):
        hit = session.gallery.vectors(np.array([int(answer.hits[0].id)], dtype=np.int64))[0]
        found = np.maximum(maps.match(maps.look(view(photo.data, settings, answer.crop)), hit), 0)
        left, top, right, bottom = kept_box(Picture(photo.data), settings, answer.crop)
        middles = (np.arange(len(found)) + 0.5) / len(found)
        across, down = left + middles * (right - left), top + middles * (bottom - top)
        inside = (
            ((down > photo.box[1]) & (down < photo.box[3]))[:, None] & (across > photo.box[0]) & (across < photo.box[2])
        )
        shares.append(float(found[inside].sum() / found.sum()))
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
