"""Render the sample catalog: product photos for a shop, and two query snapshots of every product.

    python sample_data/render.py [OUT_DIR] [--only PRODUCT]

Writes OUT_DIR/catalog/<category>/<product>/<n>.jpg and OUT_DIR/queries/<product>/<n>.jpg; OUT_DIR is this script's
folder unless given. Needs numpy and Pillow, and nothing else.

The products, in tableware.py, furniture.py and goods.py, are signed distance functions: solids from shapes.py in
materials from materials.py. stages.py lights and frames them, tracer.py marches the rays. Every picture draws its
random choices from its own name, so that it comes out the same alone or with all the others.
"""

import argparse
import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

import furniture
import goods
import stages
import tableware
from product import Product
from shapes import Array
from tracer import Scene, aim, develop, expose

CATALOG = (
    *tableware.mugs(),
    *tableware.bottles(),
    *tableware.bowls(),
    *tableware.teapots(),
    *tableware.vases(),
    *furniture.lamps(),
    *furniture.chairs(),
    *goods.shoes(),
    *goods.boxes(),
    *goods.bags(),
)

SIZE = 192
"""Width and height of every picture, in pixels."""
CATALOG_PHOTOS = len(stages.CATALOG_YAWS)
QUERY_PHOTOS = 2
CATALOG_QUALITY = 92
QUERY_QUALITY = 88


def random_source(*names: str | int) -> Generator:
    """A random generator that depends on the names alone."""
    digest = hashlib.sha256("/".join(str(name) for name in names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def catalog_photo(product: Product, number: int) -> Image.Image:
    """One of the shop's pictures."""
    rng = random_source("catalog", product.name, number)
    view = stages.studio_view(rng, number)
    backdrop = stages.home(rng, busy=False) if number in stages.STYLED_PHOTOS else stages.studio(rng)
    scene = Scene(product, stages.studio_lights(rng, view.yaw), backdrop)
    return _image(develop(expose(scene, aim(view, product), SIZE)))


def query_photo(product: Product, number: int) -> Image.Image:
    """A customer's snapshot: the first in a calm place, the others in busy ones."""
    rng = random_source("query", product.name, number)
    view = stages.snapshot_view(rng)
    scene = Scene(product, stages.home_lights(rng, view.yaw), stages.home(rng, busy=number > 0))
    sharp = _image(develop(expose(scene, aim(view, product), SIZE)))
    blurred = sharp.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.8))))
    grain = rng.normal(0, rng.uniform(1.5, 5), (SIZE, SIZE, 1)) + rng.normal(0, 1.5, (SIZE, SIZE, 3))
    return _image(np.asarray(blurred) + grain)


def _image(values: Array) -> Image.Image:
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path, quality: int) -> None:
    """Write a JPEG, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = BytesIO()
    image.save(encoded, "JPEG", quality=quality, optimize=True)
    path.write_bytes(encoded.getvalue())


def render(product: Product, out: Path) -> None:
    """All pictures of one product."""
    for number in range(CATALOG_PHOTOS):
        path = out / "catalog" / product.category / product.name / f"{number + 1}.jpg"
        save(catalog_photo(product, number), path, CATALOG_QUALITY)
    for number in range(QUERY_PHOTOS):
        save(query_photo(product, number), out / "queries" / product.name / f"{number + 1}.jpg", QUERY_QUALITY)


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description="Render the sample catalog and its query photos.")
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).resolve().parent, metavar="OUT_DIR")
    parser.add_argument("--only", metavar="PRODUCT", help="render this product alone")
    arguments = parser.parse_args()
    names = [product.name for product in CATALOG]
    if arguments.only and arguments.only not in names:
        parser.error(f"no product is called {arguments.only!r}; there are: {', '.join(names)}")
    chosen = [product for product in CATALOG if arguments.only in (None, product.name)]
    for index, product in enumerate(chosen, 1):
        render(product, arguments.out)
        print(f"{index}/{len(chosen)} {product.category}/{product.name}", flush=True)


if __name__ == "__main__":
    main()
