"""Benchmark data sets in their official layout: read to the letter, with the protocol that belongs to each."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dmlcli.catalog import Catalog, Item, Published, benchmark_of, open_catalog, split_for_training
from dmlcli.catalog.official import DATA_SETS
from dmlcli.errors import CannotRun, CatalogError
from tests import layouts

Writer = Callable[[Path, str], None]
# images and products of each split of the fixtures
COUNTS = {
    "sop": {"train": (3, 2), "test": (4, 2)},
    "cub200": {"train": (4, 2), "test": (4, 2)},
    "cars196": {"train": (3, 2), "test": (3, 2)},
    "inshop": {"train": (3, 2), "query": (2, 2), "gallery": (3, 2)},
    "grocery-store": {"train": (5, 2), "val": (1, 1), "test": (3, 2), "iconic": (2, 2)},
    "products10k": {"train": (4, 3), "test": (3, 2)},
    "rp2k": {"train": (5, 2), "test": (3, 2)},
    "market1501": {"train": (3, 2), "query": (2, 2), "gallery": (4, 2)},
    "dukemtmc": {"train": (2, 1), "query": (2, 2), "gallery": (3, 3)},
    "vehicle-id": {
        "train": (3, 2),
        "gallery-800": (2, 2),
        "query-800": (2, 2),
        "gallery-1600": (2, 2),
        "query-1600": (1, 1),
        "gallery-2400": (1, 1),
        "query-2400": (1, 1),
    },
    "gpr1200": {"test": (5, 3)},
}


def name_of(writer: Writer) -> str:
    return {"cars196_devkit": "cars196", "cars196_csv": "cars196"}.get(
        writer.__name__, writer.__name__.replace("_", "-")
    )


def read(root: Path) -> Catalog:
    """Open a fixture: it is smaller than what is published, and that is said."""
    with pytest.warns(UserWarning, match="as published"):
        return open_catalog(root)


def one(catalog: Catalog, path: str) -> Item:
    (item,) = [item for item in catalog.items if item.path == path]
    return item


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("writer", layouts.WRITERS, ids=lambda writer: writer.__name__)
def test_every_layout_is_known_by_its_files_and_read_in_full(writer: Writer, end: str, tmp_path: Path) -> None:
    writer(tmp_path, end)
    catalog = read(tmp_path)
    assert catalog.benchmark is not None and catalog.benchmark == benchmark_of(tmp_path)
    assert catalog.benchmark.name == name_of(writer)
    found = {
        split: (count, len({item.product for item in catalog.items if item.split == split} - {""}))
        for split, count in Counter(item.split for item in catalog.items).items()
    }
    assert found == COUNTS[catalog.benchmark.name]
    assert all((catalog.root / item.path).is_file() for item in catalog.items)
    assert not catalog.skipped and not any("._" in item.path for item in catalog.items)
    searched = {catalog.benchmark.query_split, catalog.benchmark.gallery_split}
    assert len(searched) == (1 if catalog.benchmark.protocol == "leave-one-out" else 2) and searched <= set(found)


@pytest.mark.parametrize("writer", layouts.WRITERS, ids=lambda writer: writer.__name__)
def test_strict_holds_a_data_set_to_its_published_counts(writer: Writer, tmp_path: Path) -> None:
    writer(tmp_path, "\n")
    with pytest.raises(CatalogError, match="as published: split"):
        open_catalog(tmp_path, strict=True)


def test_protocols_and_the_requested_recall() -> None:
    known = {known.BENCHMARK.name: known.BENCHMARK for known in DATA_SETS}
    assert set(known) == set(COUNTS)
    assert {name: benchmark.recall_at for name, benchmark in known.items() if len(benchmark.recall_at) == 4} == {
        "sop": (1, 10, 100, 1000),
        "cub200": (1, 2, 4, 8),
        "cars196": (1, 2, 4, 8),
        "inshop": (1, 10, 20, 30),
    }
    assert {name for name, benchmark in known.items() if benchmark.exclude_same_source} == {"market1501", "dukemtmc"}


def test_published_counts() -> None:
    known = {known.BENCHMARK.name: known.BENCHMARK.published for known in DATA_SETS}
    assert known["sop"] == {"train": Published(59551, 11318), "test": Published(60502, 11316)}
    assert known["cub200"] == {"train": Published(5864, 100), "test": Published(5924, 100)}
    assert known["cars196"] == {"train": Published(8054, 98), "test": Published(8131, 98)}
    assert known["inshop"]["query"] == Published(14218, 3985)


@pytest.fixture(scope="module")
def grocery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many images as published, all of them links to one."""
    root = tmp_path_factory.mktemp("grocery")
    names = [f"Product-{n:02}" for n in range(81)]
    header = "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str)"
    iconic = [f"iconic-images-and-descriptions/{name}_Iconic.jpg" for name in names]
    rows = [f"{name},{n},Coarse,0,/{path}" for n, (name, path) in enumerate(zip(names, iconic, strict=True))]
    layouts.text(root / "classes.csv", header, *rows)
    paths = list(iconic)
    for split, count in (("train", 2640), ("val", 296), ("test", 2485)):
        own = [(f"{split}/{n}.jpg", n % 81) for n in range(count)]
        layouts.text(root / f"{split}.txt", *(f"{path}, {label}, 0" for path, label in own))
        paths += [path for path, _ in own]
    layouts.image(root / "one.jpg")
    for folder in {str(Path(path).parent) for path in paths}:
        (root / folder).mkdir()
    for path in paths:
        os.link(root / "one.jpg", root / path)
    return root


def test_a_data_set_that_is_whole_passes_strictly(grocery: Path) -> None:
    assert len(open_catalog(grocery, strict=True).items) == 2640 + 296 + 2485 + 81


def test_a_missing_file_does_not(grocery: Path) -> None:
    (grocery / "test/7.jpg").unlink()
    try:
        with pytest.raises(CatalogError, match=r"1 of the 5502 images of .* are missing: test/7.jpg"):
            open_catalog(grocery, strict=True)
        open_catalog(grocery, strict=True, for_training=True)  # which does not look at test
    finally:
        os.link(grocery / "one.jpg", grocery / "test/7.jpg")


def test_sop(tmp_path: Path) -> None:
    layouts.sop(tmp_path / "Stanford_Online_Products")
    assert one(read(tmp_path), "bicycle_final/111085122871_0.JPG") == Item(
        "bicycle_final/111085122871_0.JPG", "1", "bicycle", "train"
    )


def test_cub_200(tmp_path: Path) -> None:
    layouts.cub200(tmp_path)
    path = "images/100.Brown_Pelican/Brown_Pelican_0001_100.jpg"
    assert one(read(tmp_path), path) == Item(path, "100.Brown_Pelican", split="train")


@pytest.mark.parametrize(
    ("writer", "path"),
    [
        (layouts.cars196, "car_ims/000004.jpg"),
        (layouts.cars196_devkit, "cars_test/00002.jpg"),
        (layouts.cars196_csv, "car_data/car_data/test/Dodge Ram C-V Cargo Van Minivan 2012/00002.jpg"),
    ],
)
def test_cars_196(writer: Writer, path: str, tmp_path: Path) -> None:
    writer(tmp_path, "\n")
    assert one(read(tmp_path), path) == Item(path, "Dodge Ram C/V Cargo Van Minivan 2012", split="test")


def test_without_its_library_a_mat_file_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.cars196(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(CannotRun, match="needs the library scipy") as caught:
        open_catalog(tmp_path)
    assert "pip install 'dmlcli[mat]'" in caught.value.hint


def test_in_shop_keeps_its_first_row_its_category_and_its_pose(tmp_path: Path) -> None:
    layouts.inshop(tmp_path / "Inshop_Clothes")
    catalog = read(tmp_path)
    path = "Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg"
    assert catalog.items[0] == Item(path, "id_00000002", "WOMEN/Dresses", "train", columns=(("pose", "front"),))
    assert [item.product for item in catalog.only("query").items] == ["id_00000001", "id_00000003"]


def test_grocery_store(tmp_path: Path) -> None:
    layouts.grocery_store(tmp_path)
    catalog = read(tmp_path)
    path = "train/Fruit/Apple/Golden-Delicious/Golden-Delicious_001.jpg"
    assert one(catalog, path) == Item(path, "Golden-Delicious", "Apple", "train")
    assert [item.product for item in catalog.only("iconic").items] == ["Golden-Delicious", "Banana"]


def test_products_10k_knows_the_groups_of_test_from_train(tmp_path: Path) -> None:
    layouts.products10k(tmp_path)
    assert one(read(tmp_path), "test/2.jpg") == Item("test/2.jpg", "5", "9", "test", columns=(("usage", "Private"),))


def test_rp2k(tmp_path: Path) -> None:
    layouts.rp2k(tmp_path)
    assert {item.product for item in read(tmp_path).items} == {"哈尔滨啤酒-小麦王 (听) 330ML", "other-tea"}


def test_market_1501_leaves_junk_out_and_keeps_distractors(tmp_path: Path) -> None:
    layouts.market1501(tmp_path / "Market-1501-v15.09.15")
    catalog = read(tmp_path)
    assert one(catalog, "query/0003_c4s6_015641_00.jpg") == Item(
        "query/0003_c4s6_015641_00.jpg", "0003", split="query", source="c4"
    )
    gallery = {item.path.partition("/")[2]: item.product for item in catalog.only("gallery").items}
    assert "-1_c1s1_000401_03.jpg" not in gallery and gallery["0000_c1s1_000151_01.jpg"] == ""


def test_duke_mtmc(tmp_path: Path) -> None:
    layouts.dukemtmc(tmp_path)
    path = "bounding_box_train/0001_c5_f0051341.jpg"
    assert one(read(tmp_path), path) == Item(path, "0001", split="train", source="c5")


def test_vehicle_id_has_a_gallery_of_one_image_each_in_every_test_set(tmp_path: Path) -> None:
    layouts.vehicle_id(tmp_path)
    catalog = read(tmp_path)
    assert [item.path for item in catalog.only("gallery-800").items] == ["image/0000004.jpg", "image/0000006.jpg"]
    assert [item.path for item in catalog.only("gallery-1600").items] == ["image/0000005.jpg", "image/0000008.jpg"]


def test_gpr1200_is_ordered_by_number(tmp_path: Path) -> None:
    layouts.gpr1200(tmp_path)
    catalog = read(tmp_path)
    assert [item.product for item in catalog.items] == ["0", "0", "2", "10", "10"]
    assert {item.category for item in catalog.items} == {"Landmarks"}


@pytest.mark.parametrize("writer", layouts.WRITERS, ids=lambda writer: writer.__name__)
def test_training_is_given_train_and_val_alone(writer: Writer, tmp_path: Path) -> None:
    writer(tmp_path, "\n")
    if writer is layouts.gpr1200:  # which has nothing to train on
        with (
            pytest.warns(UserWarning, match="as published"),
            pytest.raises(CatalogError, match=r"no image of .* has split train; its splits are test"),
        ):
            open_catalog(tmp_path, for_training=True)
        return
    with pytest.warns(UserWarning, match="as published"):
        catalog = open_catalog(tmp_path, for_training=True)
    assert {item.split for item in catalog.items} <= {"train", "val"}
    if len({item.product for item in catalog.items}) > 1:
        split = split_for_training(catalog)
        assert {catalog.items[row].split for row in split.fit} == {"train"}


@pytest.mark.parametrize(
    ("writer", "file", "damage", "message"),
    [
        (layouts.sop, "Ebay_test.txt", "a b\n1 2 3\n", "Ebay_test.txt: 3 fields instead of 4"),
        (layouts.cub200, "image_class_labels.txt", "1 one\n", "invalid number 'one' in "),
        (layouts.cars196, "cars_annos.mat", "MATLAB", "cars_annos.mat cannot be read"),
        (layouts.cars196_csv, "anno_test.csv", "a.jpg,1,2,3,4,197\n", "has class 197, but only 196 classes are listed"),
        (layouts.inshop, "Eval/list_eval_partition.txt", "1\nheader\nimg/a.jpg\n", "1 fields instead of 3"),
    ],
)
def test_a_damaged_list_is_answered_by_its_line(
    writer: Writer, file: str, damage: str, message: str, tmp_path: Path
) -> None:
    writer(tmp_path, "\n")
    (tmp_path / file).write_text(damage)
    with pytest.raises(CatalogError, match=message):
        open_catalog(tmp_path)


def test_a_catalog_of_ones_own_is_no_benchmark(tmp_path: Path) -> None:
    for path in ("images/12_front.jpg", "images/13_front.jpg"):
        layouts.image(tmp_path / path)
    assert benchmark_of(tmp_path) is None and open_catalog(tmp_path).benchmark is None
