"""Models that are replaced stay under their fingerprints, the last few of them, and those in use."""

import json
import os
import shutil
from pathlib import Path

import pytest

from dmlcli import model_history, progress
from dmlcli.errors import MismatchError
from dmlcli.model import open_matching, open_model


def copy(plain: Path, target: Path, fingerprint: str) -> Path:
    """A copy of a model that says it has another fingerprint."""
    shutil.copytree(plain, target)
    record = target / "model.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"fingerprint": fingerprint}))
    return target


def test_the_model_that_is_replaced_is_kept_under_its_fingerprint(plain_model: Path, tmp_path: Path) -> None:
    models, current = tmp_path / "models", copy(plain_model, tmp_path / "model", "a" * 16)
    made = open_model(copy(plain_model, models / "draft", "b" * 16))
    made = model_history.adopt(models, made)
    assert made.folder == models / ("b" * 16) and not (models / "draft").exists()
    assert model_history.place(models, made, current) == models / ("a" * 16)
    assert open_model(current).record.fingerprint == "b" * 16
    assert open_model(models / ("a" * 16)).record.fingerprint == "a" * 16
    assert model_history.place(models, made, current) is None  # the same one once more


def test_one_model_under_two_names_takes_the_space_of_one(plain_model: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    kept = model_history.keep(models, copy(plain_model, tmp_path / "model", "a" * 16))
    assert kept is not None
    for file in kept.iterdir():
        assert file.samefile(tmp_path / "model" / file.name)


def test_where_links_cannot_be_made_files_are_copied(
    plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(os, "link", refuse)
    kept = model_history.keep(tmp_path / "models", copy(plain_model, tmp_path / "model", "a" * 16))
    assert kept is not None and open_model(kept).record.fingerprint == "a" * 16


def test_what_is_no_model_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert model_history.keep(tmp_path / "models", tmp_path / "model") is None


def test_the_last_five_stay_and_those_in_use(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number:016}").mkdir()
        os.utime(tmp_path / f"{number:016}", (number, number))
    model_history.prune(tmp_path, {f"{0:016}"})
    assert sorted(int(folder.name) for folder in tmp_path.iterdir()) == [0, 4, 5, 6, 7, 8]
    model_history.prune(tmp_path / "not there", set())


def test_an_index_finds_the_model_that_made_it_though_that_was_replaced(plain_model: Path, tmp_path: Path) -> None:
    class Heard(progress.Silent):
        def warn(self, message: str) -> None:
            report.append(message)

    report: list[str] = []
    progress.listen(Heard())
    models, current = tmp_path / "models", copy(plain_model, tmp_path / "model", "a" * 16)
    with pytest.raises(MismatchError):
        open_matching(current, "b" * 16, models)
    copy(plain_model, models / ("b" * 16), "b" * 16)
    assert open_matching(current, "b" * 16, models).folder == models / ("b" * 16)
    assert len(report) == 1 and "has been replaced" in report[0] and "dmlcli index CATALOG" in report[0]
    assert open_matching(tmp_path / "not there yet", "b" * 16, models).folder == models / ("b" * 16)
    model_history.keep(models, current)
    assert open_matching(current, "a" * 16, models).record.fingerprint == "a" * 16 and len(report) == 1
    with pytest.raises(MismatchError):
        open_matching(current, "b" * 16)
