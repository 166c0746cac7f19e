"""Small unpacked data sets, written to the letter of their official formats: headers, padding, names, strays."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def image(file: Path, mode: str = "RGB") -> None:
    """A JPEG of 16 x 16 pixels, of its own color."""
    file.parent.mkdir(parents=True, exist_ok=True)
    color = tuple(sum(file.name.encode()) * factor % 256 for factor in (1, 7, 13))
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), color).convert(mode).save(stream, "JPEG")
    file.write_bytes(stream.getvalue())


def stray(file: Path) -> None:
    """What macOS leaves beside a file when it packs an archive."""
    file.with_name(f"._{file.name}").write_bytes(b"\0\x05\x16\x07\0\2\0\0Mac OS X")


def text(file: Path, *lines: str, end: str = "\n") -> None:
    """A list file with this line end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(end.join([*lines, ""]).encode())


def sop(root: Path, end: str = "\n") -> None:
    """Two classes to train, two to test, of two categories; one image is grayscale; suffixes are upper-case."""
    rows = [
        (1, 1, 1, "bicycle_final/111085122871_0.JPG", "train"),
        (2, 1, 1, "bicycle_final/111085122871_1.JPG", "train"),
        (3, 2, 2, "cabinet_final/111265328556_0.JPG", "train"),
        (1, 11319, 1, "bicycle_final/251952414262_0.JPG", "test"),
        (2, 11319, 1, "bicycle_final/251952414262_1.JPG", "test"),
        (3, 11320, 2, "cabinet_final/301763128470_0.JPG", "test"),
        (4, 11320, 2, "cabinet_final/301763128470_1.JPG", "test"),
    ]
    for number, (*_, path, _split) in enumerate(rows):
        image(root / path, mode="L" if number == 2 else "RGB")
    stray(root / rows[0][3])
    header = "image_id class_id super_class_id path"
    for split in ("train", "test"):
        lines = [" ".join(map(str, row[:4])) for row in rows if row[4] == split]
        text(root / f"Ebay_{split}.txt", header, *lines, end=end)
    text(root / "Ebay_info.txt", header, *(" ".join(map(str, row[:4])) for row in rows), end=end)
    for category in ("bicycle", "cabinet"):
        text(root / f"{category}_final.txt", *(row[3] for row in rows if category in row[3]), end=end)


def cub200(root: Path, end: str = "\n") -> None:
    """Classes 1 and 100 train, 101 and 200 test; the split file says otherwise and is not to be believed."""
    names = {1: "001.Black_footed_Albatross", 100: "100.Brown_Pelican"}
    names |= {101: "101.White_Pelican", 200: "200.Common_Yellowthroat"}
    paths = [
        (label, f"{name}/{name[4:]}_{number:04}_{label}.jpg") for label, name in names.items() for number in (1, 2)
    ]
    for number, (_, path) in enumerate(paths):
        image(root / "images" / path, mode="L" if number == 1 else "RGB")
        stray(root / "images" / path)
    numbered = list(enumerate(paths, start=1))
    text(root / "images.txt", *(f"{n} {path}" for n, (_, path) in numbered), end=end)
    text(root / "image_class_labels.txt", *(f"{n} {label}" for n, (label, _) in numbered), end=end)
    text(root / "classes.txt", *(f"{label} {name}" for label, name in names.items()), end=end)
    text(root / "bounding_boxes.txt", *(f"{n} 60.0 27.0 325.0 304.0" for n, _ in numbered), end=end)
    text(root / "train_test_split.txt", *(f"{n} {n % 2}" for n, _ in numbered), end=end)


_CARS = {1: "AM General Hummer SUV 2000", 98: "Dodge Dakota Crew Cab 2010"}
_CARS |= {99: "Dodge Ram C/V Cargo Van Minivan 2012", 196: "smart fortwo Convertible 2012"}
_CAR_NAMES = [_CARS.get(label, f"Car {label}") for label in range(1, 197)]
_CAR_LABELS = [1, 1, 98, 99, 99, 196]


def _annotations(fields: list[str], rows: list[tuple[object, ...]]) -> "np.ndarray[tuple[int, int], np.dtype[np.void]]":
    """A MATLAB struct array, 1 x N."""
    table = np.zeros((1, len(rows)), dtype=[(name, object) for name in fields])
    for place, row in enumerate(rows):
        for name, value in zip(fields, row, strict=True):
            table[name][0, place] = value
    return table


def _cell(names: list[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.object_]]":
    """A MATLAB cell array of names, 1 x N."""
    cell = np.empty((1, len(names)), dtype=object)
    cell[0, :] = names
    return cell


def cars196(root: Path, end: str = "\n") -> None:
    """cars_annos.mat with car_ims/; the field `test` is another split, not the one of retrieval."""
    from scipy.io import savemat

    fields = ["relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test"]
    rows: list[tuple[object, ...]] = []
    for number, label in enumerate(_CAR_LABELS, start=1):
        image(root / f"car_ims/{number:06}.jpg", mode="L" if number == 2 else "RGB")
        rows.append((f"car_ims/{number:06}.jpg", 2, 3, 14, 15, label, number % 2))
    savemat(root / "cars_annos.mat", {"annotations": _annotations(fields, rows), "class_names": _cell(_CAR_NAMES)})


def cars196_devkit(root: Path, end: str = "\n") -> None:
    """The newer devkit: annotations of cars_train/ and cars_test/, names in cars_meta.mat."""
    from scipy.io import savemat

    (root / "devkit").mkdir(parents=True)
    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    for folder, name, labels in (
        ("cars_train", "cars_train_annos.mat", _CAR_LABELS[::2]),
        ("cars_test", "cars_test_annos_withlabels.mat", _CAR_LABELS[1::2]),
    ):
        rows: list[tuple[object, ...]] = []
        for number, label in enumerate(labels, start=1):
            image(root / folder / f"{number:05}.jpg")
            rows.append((2, 3, 14, 15, label, f"{number:05}.jpg"))
        savemat(root / "devkit" / name, {"annotations": _annotations(fields, rows)})
    savemat(root / "devkit/cars_meta.mat", {"class_names": _cell(_CAR_NAMES)})


def cars196_csv(root: Path, end: str = "\n") -> None:
    """The CSV packing: no header, the class in the last column, a slash of a name as a hyphen in its folder."""
    text(root / "names.csv", *_CAR_NAMES, end=end)
    for split, labels in (("train", _CAR_LABELS[::2]), ("test", _CAR_LABELS[1::2])):
        lines = []
        for number, label in enumerate(labels, start=1):
            folder = _CAR_NAMES[label - 1].replace("/", "-")
            image(root / f"car_data/car_data/{split}/{folder}/{number:05}.jpg")
            lines.append(f"{number:05}.jpg,2,3,14,15,{label}")
        text(root / f"anno_{split}.csv", *lines, end=end)


def inshop(root: Path, end: str = "\n") -> None:
    """A count, a header, and rows padded with spaces; the first data row counts."""
    rows = [
        ("img/WOMEN/Dresses/id_00000002/02_1_front.jpg", "id_00000002", "train"),
        ("img/WOMEN/Dresses/id_00000002/02_2_side.jpg", "id_00000002", "train"),
        ("img/MEN/Denim/id_00000080/01_1_front.jpg", "id_00000080", "train"),
        ("img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg", "id_00000001", "query"),
        ("img/WOMEN/Blouses_Shirts/id_00000001/02_2_side.jpg", "id_00000001", "gallery"),
        ("img/WOMEN/Blouses_Shirts/id_00000001/02_4_full.jpg", "id_00000001", "gallery"),
        ("img/MEN/Tees_Tanks/id_00000003/01_7_additional.jpg", "id_00000003", "query"),
        ("img/MEN/Tees_Tanks/id_00000003/01_1_front.jpg", "id_00000003", "gallery"),
    ]
    for path, *_ in rows:
        image(root / "Img" / path)
    stray(root / "Img" / rows[0][0])
    padded = [f"{path:<70}{item:<20}{status:<10}" for path, item, status in rows]
    text(
        root / "Eval/list_eval_partition.txt", str(len(rows)), "image_name item_id evaluation_status", *padded, end=end
    )
    boxes = [f"{path:<70}1 1 050 030 210 236" for path, *_ in rows]
    header = "image_name clothes_type pose_type x_1 y_1 x_2 y_2"
    text(root / "Anno/list_bbox_inshop.txt", str(len(rows)), header, *boxes, end=end)


def grocery_store(root: Path, end: str = "\n") -> None:
    """dataset/: folders of different depth, ids apart by a comma and a space, a studio picture of each class."""
    root = root / "dataset"
    header = "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str),"
    classes = [("Golden-Delicious", 0, "Apple", 0, "Fruit/Apple"), ("Banana", 5, "Banana", 2, "Fruit")]
    lines = []
    for name, fine, coarse_name, coarse, above in classes:
        iconic = f"/iconic-images-and-descriptions/{above}/{name}/{name}"
        image(root / f"{iconic[1:]}_Iconic.jpg")
        lines.append(f"{name},{fine},{coarse_name},{coarse},{iconic}_Iconic.jpg,{iconic}_Description.txt")
        text(root / f"{iconic[1:]}_Description.txt", "A fruit.", end=end)
    text(root / "classes.csv", header + "Product Description Path (str)", *lines, end=end)
    for split, counts in (("train", (3, 2)), ("val", (1, 0)), ("test", (2, 1))):
        lines = []
        for (name, fine, _, coarse, above), count in zip(classes, counts, strict=True):
            for number in range(1, count + 1):
                path = f"{split}/{above}/{name}/{name}_{number:03}.jpg"
                image(root / path)
                lines.append(f"{path}, {fine}, {coarse}")
        text(root / f"{split}.txt", *lines, end=end)


def products10k(root: Path, end: str = "\n") -> None:
    """The test file has no groups, but says which rows the leaderboard was public about."""
    train = [("1.jpg", 0, 2), ("2.jpg", 0, 2), ("3.jpg", 1, 2), ("4.jpg", 5, 9)]
    test = [("1.jpg", 0, "Public"), ("2.jpg", 5, "Private"), ("3.jpg", 5, "Private")]
    text(root / "train.csv", "name,class,group", *(",".join(map(str, row)) for row in train), end=end)
    text(root / "test_kaggletest.csv", "name,class,Usage", *(",".join(map(str, row)) for row in test), end=end)
    for split, rows in (("train", train), ("test", test)):
        for row in rows:
            image(root / split / str(row[0]))


def rp2k(root: Path, end: str = "\n") -> None:
    """Folders with Chinese names are the classes."""
    for split, counts in (("train", (3, 2)), ("test", (1, 2))):
        for name, count in zip(("哈尔滨啤酒-小麦王 (听) 330ML", "other-tea"), counts, strict=True):
            for number in range(count):
                image(root / f"all/{split}/{name}/{number}_{split}.jpg")
    stray(root / "all/train/other-tea/0_train.jpg")


def market1501(root: Path, end: str = "\n") -> None:
    """Junk (-1) and a distractor (0000) in the gallery; a Thumbs.db in each folder, as in the original."""
    folders = {
        "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c2s1_000301_01.jpg", "0007_c3s3_077419_03.jpg"],
        "query": ["0001_c1s1_001051_00.jpg", "0003_c4s6_015641_00.jpg"],
        "bounding_box_test": [
            "-1_c1s1_000401_03.jpg",
            "0000_c1s1_000151_01.jpg",
            "0001_c1s1_002301_02.jpg",
            "0001_c2s1_000301_00.jpg",
            "0003_c6s4_000027_00.jpg.jpg",
        ],
    }
    for folder, names in folders.items():
        for name in names:
            image(root / folder / name)
        (root / folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    text(root / "readme.txt", "Market-1501", end=end)


def dukemtmc(root: Path, end: str = "\n") -> None:
    """The same three folders, with frame numbers in the names."""
    folders = {
        "bounding_box_train": ["0001_c2_f0046182.jpg", "0001_c5_f0051341.jpg"],
        "query": ["0005_c2_f0046985.jpg", "0033_c1_f0057706.jpg"],
        "bounding_box_test": ["0005_c5_f0051781.jpg", "0033_c8_f0033225.jpg", "7139_c8_f0170105.jpg"],
    }
    for folder, names in folders.items():
        for name in names:
            image(root / folder / name)


def vehicle_id(root: Path, end: str = "\n") -> None:
    """Three test lists; an image stands in two of them."""
    lists = {
        "train_list": [("0000001", "5"), ("0000002", "5"), ("0000003", "9")],
        "test_list_800": [("0000004", "11"), ("0000005", "11"), ("0000006", "12"), ("0000007", "12")],
        "test_list_1600": [("0000005", "11"), ("0000004", "11"), ("0000008", "13")],
        "test_list_2400": [("0000009", "14"), ("0000010", "14")],
    }
    for name, rows in lists.items():
        text(root / f"train_test_split/{name}.txt", *(" ".join(row) for row in rows), end=end)
        for number, _ in rows:
            image(root / f"image/{number}.jpg")
    text(root / "attribute/img2vid.txt", *(" ".join(row) for rows in lists.values() for row in rows), end=end)


def gpr1200(root: Path, end: str = "\n") -> None:
    """One folder of images, each with its class in front."""
    for name in ("0_ALCATRAZ-1.jpg", "0_ALCATRAZ-2.jpg", "2_x.JPG", "10_y_1.jpg", "10_y_2.jpg"):
        image(root / "GPR1200" / "images" / name)
    stray(root / "GPR1200" / "images" / "2_x.JPG")


WRITERS: tuple[Callable[[Path, str], None], ...] = (
    sop,
    cub200,
    cars196,
    cars196_devkit,
    cars196_csv,
    inshop,
    grocery_store,
    products10k,
    rp2k,
    market1501,
    dukemtmc,
    vehicle_id,
    gpr1200,
)
