"""Reading a catalog of a million images, as a folder and as tables, beside torchvision's ImageFolder.

    python benchmarks/catalog.py [--images 1000000] [--repeats 3] [--keep DIR]

The images are empty files, 20 to a product, 500 products to a category; the tables list them with a split, a session
and two columns of the user's. Each reading is a process of its own: seconds from the call to the answer, the library
imported before, and the peak memory of the whole process (Linux). The first reading of a folder follows right after it
was written; that of a cold disk depends on the disk.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
READINGS = ("folder", "photos.csv", "photos.jsonl", "photos.parquet", "ImageFolder")


def generate(root: Path, images: int) -> None:
    """Write the files and the tables."""
    import pyarrow
    from pyarrow import parquet

    paths, products = [], []
    for number in range(images):
        product = number // 20
        folder = root / "folder" / f"category-{product // 500:03}" / f"product-{product:06}"
        if number % 20 == 0:
            folder.mkdir(parents=True)
        name = f"photo-{number % 20:02}.jpg"
        (folder / name).touch()
        paths.append(f"folder/{folder.parent.name}/{folder.name}/{name}")
        products.append(folder.name)
    table = {
        "image": paths,
        "product": products,
        "split": [("train", "train", "val", "test")[n % 4] for n in range(images)],
        "session": [f"session-{n % 997}" for n in range(images)],
        "price": [f"{n * 7919 % 100000 / 100:.2f}" for n in range(images)],
        "color": [("red", "green", "blue")[n % 3] for n in range(images)],
    }
    rows = list(zip(*table.values(), strict=True))
    with (root / "photos.csv").open("w") as stream:
        stream.write(",".join(table) + "\n")
        stream.writelines(",".join(row) + "\n" for row in rows)
    with (root / "photos.jsonl").open("w") as stream:
        stream.writelines(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in rows)
    parquet.write_table(pyarrow.table(table), root / "photos.parquet")


def reader(name: str, root: Path) -> Callable[[], int]:
    """What reads it, ready to be called; it returns how many images there are."""
    if name == "ImageFolder":
        from torchvision.datasets import ImageFolder

        return lambda: len(ImageFolder(str(root / "folder")).samples)
    from dmlcli.catalog import open_catalog

    return lambda: len(open_catalog(root / name).items)


def read(name: str, root: Path) -> None:
    """Read it once and print what it took."""
    call = reader(name, root)
    before = peak_memory()
    start, cpu = time.perf_counter(), time.process_time()
    images = call()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"images": images, "seconds": seconds, "cpu": cpu, "peak": peak_memory(), "before": before}))


def peak_memory() -> float:
    """MB that this process held at most; `getrusage` would count those of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(name: str, root: Path) -> dict[str, float]:
    """Read it in a process of its own."""
    command = [sys.executable, __file__, "--read", name, "--keep", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main() -> None:
    """Generate, read in turn, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="readings of each; the first is also shown by itself")
    parser.add_argument("--keep", type=Path, help="generate here, or take what is here, and leave it")
    parser.add_argument("--read", choices=READINGS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, options.keep)
        return
    root = options.keep or Path(tempfile.mkdtemp(prefix="dmlcli-catalog-"))
    try:
        if not (root / "photos.parquet").exists():
            generate(root, options.images)
        rounds = [{name: measure(name, root) for name in READINGS} for _ in range(options.repeats)]
    finally:
        if options.keep is None:
            shutil.rmtree(root)
    print("| read | images | first, s | median, s | CPU, s | peak MB | of it before |\n|---|---|---|---|---|---|---|")
    for name in READINGS:
        all_of = {key: [one[name][key] for one in rounds] for key in rounds[0][name]}
        middle = {key: median(values) for key, values in all_of.items()}
        times = f"{all_of['seconds'][0]:.1f} | {middle['seconds']:.1f} | {middle['cpu']:.1f}"
        print(f"| {name} | {middle['images']:,.0f} | {times} | {middle['peak']:.0f} | {middle['before']:.0f} |")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
