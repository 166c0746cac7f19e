"""Whatever lies in a catalog: no crash, no hang, no memory eaten; each bad file is reported, each good one used."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmlcli.errors import ImageError
from dmlcli.image import ImageSettings, view
from tests.conftest import make_shop, process
from tests.damage import damaged

SMALL = ImageSettings(resize=36, crop=32)


def test_damaged_files_give_pixels_or_a_reason() -> None:
    files = damaged(80, seed=4)
    refused = 0
    for file in files:
        began = time.perf_counter()
        try:
            seen = view(file.data, SMALL)
            assert seen.shape == (3, 32, 32) and np.isfinite(seen).all()
            assert not file.hopeless, f"{file.name} was taken for a picture"
        except ImageError as error:
            refused += 1
            assert str(error) and "object at" not in str(error), file.name
        assert time.perf_counter() - began < 2, file.name
    assert len(files) == 80 and 40 < refused < 80


def test_the_same_damage_has_the_same_verdict_in_both_decodings() -> None:
    """What is exact and what is fast must not disagree about what is a picture."""
    for file in damaged(40, seed=5):
        verdicts = []
        for decode in ("fast", "exact"):
            try:
                view(file.data, replace(SMALL, decode=decode))
                verdicts.append(True)
            except ImageError:
                verdicts.append(False)
        assert verdicts[0] == verdicts[1], file.name


@pytest.mark.slow
def test_five_hundred_damaged_files_through_train_embed_and_query(tmp_path: Path) -> None:
    """As processes: exit 3, the same files skipped with a reason by each verb, all others used."""
    shop = make_shop(tmp_path / "shop", products=8, images=5)
    good = {str(file) for file in shop.rglob("*.png")}
    files = damaged(500, seed=6)
    for number, file in enumerate(files):
        (shop / f"product-{number % 8:02}" / file.name).write_bytes(file.data)
    hopeless = {str(shop / f"product-{n % 8:02}" / file.name) for n, file in enumerate(files) if file.hopeless}
    verbs: dict[str, list[object]] = {
        "train": ["train", shop, "--backbone", "descriptor", "--epochs", 1],
        "embed": ["embed", shop],
        "query": ["query", shop, "-k", 1],
    }
    skipped: dict[str, set[str]] = {}
    for verb, arguments in verbs.items():
        done = process(*arguments, "--format", "json", cwd=tmp_path)
        assert done.returncode == 3, done.stderr.decode()[-2000:]
        assert b"Traceback" not in done.stderr
        report = json.loads(done.stdout)
        reasons = {entry["path"]: entry["reason"] for entry in report["skipped"]}
        assert all(reasons.values()) and not good & reasons.keys() and hopeless <= reasons.keys()
        skipped[verb] = set(reasons)
        used = report["images"] if verb == "embed" else len(report["answers"]) if verb == "query" else None
        assert used in (None, 540 - len(reasons))
    assert skipped["train"] == skipped["embed"] == skipped["query"]
