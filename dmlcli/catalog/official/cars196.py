"""Cars-196 (Krause et al., 2013): classes 1 to 98 train, 99 to 196 test, whatever its own split says.

Three packings go round: cars_annos.mat with car_ims/; the devkit with cars_train/ and cars_test/; and the CSV files
anno_train.csv, anno_test.csv and names.csv with car_data/car_data/{train,test}/<class>/.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.official import lists
from dmlcli.errors import CannotRun, CatalogError

BENCHMARK = Benchmark(
    name="cars196",
    title="Cars-196",
    protocol="leave-one-out",
    query_split="test",
    gallery_split="test",
    recall_at=(1, 2, 4, 8),
    published={"train": Published(8054, 98), "test": Published(8131, 98)},
)
_LAST_OF_TRAIN = 98
_WHOLE = "cars_annos.mat"
_DEVKIT = (("cars_train", "cars_train_annos.mat"), ("cars_test", "cars_test_annos_withlabels.mat"))


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    csv_files = all((root / name).is_file() for name in ("anno_train.csv", "anno_test.csv", "names.csv"))
    return csv_files or (root / _WHOLE).is_file() or _devkit(root, _DEVKIT[0][1]) is not None


def items(root: Path) -> Iterator[Item]:
    """Yield the images of any of the three versions."""
    if (root / _WHOLE).is_file():
        yield from _from_whole(root / _WHOLE)
    elif (root / "anno_train.csv").is_file():
        yield from _from_csv(root)
    else:
        yield from _from_devkit(root)


def _item(path: str, label: int, names: list[str]) -> Item:
    if not 1 <= label <= len(names):
        raise CatalogError(f"the image {path} has class {label}, but only {len(names)} classes are listed")
    return Item(path, names[label - 1], split="train" if label <= _LAST_OF_TRAIN else "test")


def _from_whole(file: Path) -> Iterator[Item]:
    content = _read_mat(file)
    names = [str(name) for name in content["class_names"]]
    for annotation in content["annotations"]:
        yield _item(str(annotation["relative_im_path"]), int(annotation["class"]), names)


def _from_devkit(root: Path) -> Iterator[Item]:
    meta = _devkit(root, "cars_meta.mat") or root / "devkit" / "cars_meta.mat"
    names = [str(name) for name in _read_mat(meta)["class_names"]]
    for folder, name in _DEVKIT:
        file = _devkit(root, name) or root / name
        inner = f"{folder}/{folder}" if (root / folder / folder).is_dir() else folder
        for annotation in _read_mat(file)["annotations"]:
            yield _item(f"{inner}/{annotation['fname']}", int(annotation["class"]), names)


def _from_csv(root: Path) -> Iterator[Item]:
    """Yield lines `fname,x1,y1,x2,y2,class`; a slash in a name is a hyphen in its folder."""
    names = list(lists.lines(root / "names.csv"))
    for split in ("train", "test"):
        file = root / f"anno_{split}.csv"
        for name, *_, label in lists.rows(file, 6, ","):
            item = _item(name, lists.number(label, file), names)
            yield item._replace(path=f"car_data/car_data/{split}/{item.product.replace('/', '-')}/{name}")


def _devkit(root: Path, name: str) -> Path | None:
    return next((file for file in (root / "devkit" / name, root / name) if file.is_file()), None)


def _read_mat(file: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise CannotRun(
            f"reading {file} needs the library scipy",
            hint="pip install 'dmlcli[mat]', or use the version with anno_train.csv",
        ) from error
    try:
        content: dict[str, Any] = loadmat(file, simplify_cells=True)
    except Exception as error:  # damaged files fail in whatever way their bytes lead to
        raise CatalogError(f"{file} cannot be read: {error}", hint="unpack the data set again") from error
    return content
