"""A model says what it is, its fingerprint differs where its embeddings would, and damage is reported."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli import model
from dmlcli.errors import MismatchError, ModelError
from dmlcli.image import ImageSettings
from dmlcli.model import ModelRecord, open_model

RECORD = ModelRecord(
    fingerprint="abc",
    backbone="squeezenet1_1",
    head={"kind": "identity"},
    dim=3,
    image=ImageSettings(resize=36, crop=32, interpolation="bicubic"),
    weights_from="a file",
    recipe={"loss": "triplet:margin=0.3", "seed": 4},
    products=["größe", "mug"],
    caution="mind the gap",
)
WEIGHTS: dict[str, Any] = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(7, dtype=np.int64)}


def write_graph(file: Path) -> None:
    file.write_bytes(b"graph")


def saved(folder: Path, record: ModelRecord = RECORD) -> model.Model:
    return model.save(folder, record, WEIGHTS, write_graph)


def test_a_model_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    back = open_model(tmp_path / "m")
    assert replace(back.record, sizes={}, sums={}) == RECORD
    assert set(back.record.sums) == {"weights.safetensors", "graph.onnx"}
    assert {name: array.tolist() for name, array in back.weights().items()} == {"a": [[0, 1, 2], [3, 4, 5]], "b": 7}
    assert back.graph is not None and back.graph.read_bytes() == b"graph"
    assert json.loads((tmp_path / "m" / "model.json").read_text())["schema"] == 2


def test_a_model_may_lack_a_graph(tmp_path: Path) -> None:
    assert model.save(tmp_path / "m", RECORD, WEIGHTS, None).graph is None


def test_weights_that_lie_oddly_in_memory_are_saved_right(tmp_path: Path) -> None:
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    kept = model.save(tmp_path / "m", RECORD, {"a": turned}, None).weights()
    assert np.array_equal(kept["a"], turned)


def test_the_fingerprint_differs_where_embeddings_would() -> None:
    head, image = {"kind": "identity"}, ImageSettings()
    prints = {
        model.fingerprint(WEIGHTS, head, image),
        model.fingerprint(WEIGHTS | {"a": WEIGHTS["a"] + 1e-6}, head, image),
        model.fingerprint({"c": WEIGHTS["a"], "b": WEIGHTS["b"]}, head, image),
        model.fingerprint(WEIGHTS, {"kind": "blend"}, image),
        model.fingerprint(WEIGHTS, head, replace(image, crop=192)),
        model.fingerprint(WEIGHTS, head, replace(image, interpolation="bicubic")),
        model.fingerprint(WEIGHTS, head, replace(image, decode="exact")),
    }
    assert len(prints) == 7 and all(len(found) == 16 for found in prints)
    assert model.fingerprint(dict(reversed(WEIGHTS.items())), head, image) in prints


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "record empty": ("model.json", lambda data: b""),
    "record cut": ("model.json", lambda data: data[:50]),
    "record a list": ("model.json", lambda data: b"[]"),
    "record a text": ("model.json", lambda data: b'"hello"'),
    "record null": ("model.json", lambda data: b"null"),
    "record with more": ("model.json", lambda data: data.replace(b'"dim"', b'"dimension"')),
    "record without image": ("model.json", lambda data: data.replace(b'"image"', b'"imago"')),
    "record with an odd mean": ("model.json", lambda data: data.replace(b'"mean": [', b'"mean": 5, "main": [')),
    "record of another version": ("model.json", lambda data: data.replace(b'"schema": 2', b'"schema": 99')),
    "record not UTF-8": ("model.json", lambda data: data.replace("größe".encode(), b"\xff")),
    "weights cut": ("weights.safetensors", lambda data: data[:-1]),
    "graph cut": ("graph.onnx", lambda data: data[:-1]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_model_is_reported(tmp_path: Path, kind: str) -> None:
    saved(tmp_path / "m")
    name, damage = DAMAGE[kind]
    file = tmp_path / "m" / name
    before = file.read_bytes()
    file.write_bytes(damage(before))
    assert file.read_bytes() != before
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path / "m")
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["weights.safetensors", "graph.onnx"])
def test_a_missing_file_is_reported(tmp_path: Path, missing: str) -> None:
    saved(tmp_path / "m")
    (tmp_path / "m" / missing).unlink()
    with pytest.raises(ModelError, match=f"{missing} is missing"):
        open_model(tmp_path / "m")


def test_weights_with_damage_inside_are_reported(tmp_path: Path) -> None:
    opened = saved(tmp_path / "m")
    file = tmp_path / "m" / "weights.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)
    with pytest.raises(ModelError, match="damaged"):
        opened.weights()


def test_no_model_is_reported_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model found in") as caught:
        open_model(tmp_path / "nowhere")
    assert "dmlcli train" in caught.value.hint


def test_a_crash_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    saved(tmp_path / ".m.previous")
    assert open_model(tmp_path / "m").record.fingerprint == "abc"


def test_saving_again_replaces_the_model(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    model.save(tmp_path / "m", replace(RECORD, fingerprint="new"), {"a": WEIGHTS["a"]}, None)
    assert open_model(tmp_path / "m").record.fingerprint == "new"
    assert {file.name for file in (tmp_path / "m").iterdir()} == {
        "model.json",
        "weights.safetensors",
        "checked.json",
    }


def test_only_the_model_that_made_an_index_will_do(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    assert model.open_matching(tmp_path / "m", "abc").record.fingerprint == "abc"
    assert model.open_matching(tmp_path / "m", "").record.fingerprint == "abc"
    with pytest.raises(MismatchError, match="made with model other") as caught:
        model.open_matching(tmp_path / "m", "other")
    assert "dmlcli index" in caught.value.hint
    with pytest.raises(MismatchError, match="without a model") as caught:
        model.open_matching(None, "")
    assert "--model" in caught.value.hint


def test_all_files_can_be_read_by_whoever_can_read_the_folder(tmp_path: Path) -> None:
    """safetensors makes files that only their owner can read."""
    before = os.umask(0o022)
    try:
        saved(tmp_path / "m")
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "m").iterdir()}
    assert len(modes) > 1 and set(modes.values()) == {0o644}
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o755


RECORD_EDITS: dict[str, dict[str, Any]] = {
    "a text for a number": {"dim": "3"},
    "a negative number": {"dim": -3},
    "a list for a text": {"backbone": []},
    "a standard deviation of zero": {"image": {"std": [0, 1, 1]}},
    "a crop of zero": {"image": {"crop": 0}},
    "a short mean": {"image": {"mean": [0, 0]}},
    "an image that lacks most": {"image": {"crop": 32}},
    "an unknown interpolation": {"image": {"interpolation": "none"}},
    "products that are numbers": {"products": [1, 2]},
    "a score that is a text": {"scores": {"map@r": "high"}},
    "open_set without a threshold": {"scores": {"open_set": {"refused": 0.9}}},
    "a caution that is null": {"caution": None},
    "an unknown entry": {"more": 1},
    "a size that is a text": {"sizes": {"graph.onnx": "5"}},
    "a file of another folder": {"sums": {"../x": "1-00000000"}},
}


@pytest.mark.parametrize("kind", RECORD_EDITS)
def test_an_edited_record_is_reported(tmp_path: Path, kind: str) -> None:
    saved(tmp_path / "m")
    file = tmp_path / "m" / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | RECORD_EDITS[kind]))
    with pytest.raises(ModelError, match="damaged"):
        open_model(tmp_path / "m")


def test_a_model_of_an_earlier_version_is_opened(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    file = tmp_path / "m" / "model.json"
    values = json.loads(file.read_text())
    del values["sums"]
    file.write_text(json.dumps(values))
    (tmp_path / "m" / "checked.json").unlink()
    assert open_model(tmp_path / "m").record.fingerprint == "abc"


def test_a_flipped_bit_is_reported(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    file = tmp_path / "m" / "graph.onnx"
    file.write_bytes(b"grbph")
    with pytest.raises(ModelError, match=r"graph\.onnx does not hold what was written"):
        open_model(tmp_path / "m")


def test_a_threshold_that_rounds_to_just_above_one_is_read(tmp_path: Path) -> None:
    """As float32 gives the cosine of equal vectors: a training that had just ended could not be opened."""
    record = replace(RECORD, scores={"open_set": {"threshold": 1.0000002384185791}})
    made = model.save(tmp_path / "m", record, {"a": WEIGHTS["a"]}, None)
    assert made.record.scores["open_set"]["threshold"] > 1
