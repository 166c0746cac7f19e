"""Which folders are splits, and which the system's: test photos must not be trained on, nor thumbnails."""

from pathlib import Path

import pytest

from dmlcli import progress
from dmlcli.catalog import open_catalog
from dmlcli.catalog.file_names import is_users
from tests.conftest import place


class Notes(progress.Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize(
    "paths",
    [
        ("train/mug/1.png", "test/mug/2.png"),
        ("Train/mug/1.png", "TEST/mug/2.png"),
        ("training/mug/1.png", "testing/mug/2.png"),
        ("set/train/mug/1.png", "set/test/mug/2.png"),
        ("a/b/train/mug/1.png", "a/b/test/mug/2.png"),
        ("train/mug/1.png", "test/mug/2.png", "labels/notes.csv"),
        ("train/mug/1.png", "test/mug/2.png", "@eaDir/mug/1.png"),
        ("train/mug/1.png", "test/mug/2.png", "docs/.thumbnails/1.png"),
    ],
    ids=lambda paths: paths[-1],
)
def test_test_photos_are_not_trained_on(tmp_path: Path, paths: tuple[str, ...]) -> None:
    place(tmp_path, *(path for path in paths if path.endswith(".png")))
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert [(item.product, item.split) for item in open_catalog(tmp_path).items] in (
        [("mug", "test"), ("mug", "train")],
        [("mug", "train"), ("mug", "test")],
    )
    (trained,) = open_catalog(tmp_path, for_training=True).items
    assert trained.path.endswith("mug/1.png")


def test_a_folder_with_photos_beside_the_splits_is_warned_of_and_not_trained_on(tmp_path: Path) -> None:
    place(tmp_path, "train/mug/1.png", "test/mug/2.png", "new/pot/3.png")
    with pytest.warns(UserWarning, match="new next to test, train in .* belongs to no split"):
        items = open_catalog(tmp_path).items
    assert [(item.category, item.product, item.split) for item in items] == [
        ("new", "pot", ""),
        ("", "mug", "test"),
        ("", "mug", "train"),
    ]
    with pytest.warns(UserWarning, match="belongs to no split"):
        assert [item.path for item in open_catalog(tmp_path, for_training=True).items] == ["train/mug/1.png"]


def test_one_folder_called_like_a_split_among_others_is_a_category(tmp_path: Path) -> None:
    place(tmp_path, "train/red/1.png", "mug/tall/1.png")
    assert {(item.category, item.product, item.split) for item in open_catalog(tmp_path).items} == {
        ("train", "red", ""),
        ("mug", "tall", ""),
    }


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "@eadir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", "@Recycle"],
)
def test_folders_of_the_system_are_left_out_and_noted_once(tmp_path: Path, name: str) -> None:
    place(tmp_path, "mug/1.png", f"mug/{name}/1.png", f"{name}/pot/1.png")
    listener = Notes()
    progress.listen(listener)
    assert [item.path for item in open_catalog(tmp_path).items] == ["mug/1.png"]
    assert listener.notes == [f"skipped system files in {tmp_path}: {name} (2)"]


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", "~$list.png", "._1.png", ".DS_Store"])
def test_files_of_the_system_are_left_out(tmp_path: Path, name: str) -> None:
    place(tmp_path, "mug/1.png", f"mug/{name}")
    assert [item.path for item in open_catalog(tmp_path).items] == ["mug/1.png"]
    assert not is_users(f"./mug/{name}") and is_users("./mug/1.png")
