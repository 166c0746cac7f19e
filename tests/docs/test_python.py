"""The page about Python: its code runs, and its table says truly what equals what."""

import math
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dmlcli import losses
from tests.learn.losses.test_agreement import DIM, LABELS, regular_batches
from tests.places import ROOT

TEXT = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```py\n(.*?)```", TEXT, re.DOTALL)
OURS = {"losses": losses, "math": math, "torch": torch, "C": LABELS, "D": DIM}
needs_theirs = pytest.mark.skipif(
    find_spec("pytorch_metric_learning") is None, reason="pytorch-metric-learning is not installed"
)


def rows(title: str) -> list[tuple[str, str, str]]:
    """The rows of code under a title: theirs, ours and the remark."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (.*) \|$", section, re.MULTILINE)


PML, OML = rows("From pytorch-metric-learning"), rows("From open-metric-learning")


def test_all_code_runs_from_the_first_block_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "python.md", "exec"), names)
    assert len(BLOCKS) == 8
    assert 0 <= names["report"].metrics["map@r"] <= 1 and names["memory"].filled == 96


def calls(text: str, names: dict[str, Any], embeddings: Tensor, labels: Tensor) -> Tensor:
    """The value of an expression, or of the loss that it makes, for a batch."""
    torch.manual_seed(0)
    found = eval(text, names | {"embeddings": embeddings, "labels": labels})
    if isinstance(found, torch.nn.Module):
        found = found.double()(embeddings, labels)
    assert isinstance(found, Tensor) and found.isfinite().all()
    return found


@pytest.mark.parametrize(("theirs", "ours", "remark"), PML + OML)
def test_each_row_runs_here(theirs: str, ours: str, remark: str) -> None:
    embeddings, labels = next(regular_batches(1, in_blocks=True))
    assert calls(ours, OURS, embeddings, labels).ndim == 0


def batches(remark: str) -> Iterator[tuple[Tensor, Tensor]]:
    for embeddings, labels in regular_batches(9, in_blocks="blocks" in remark):
        unit = torch.nn.functional.normalize(embeddings.detach()).requires_grad_()
        yield (unit if "unit vectors" in remark else embeddings), labels


@needs_theirs
@pytest.mark.filterwarnings("ignore::UserWarning")  # theirs indexes in a way that torch deprecates
@pytest.mark.parametrize(("theirs", "ours", "remark"), [row for row in PML if row[2].startswith("equal")])
def test_each_row_that_says_so_is_equal(theirs: str, ours: str, remark: str) -> None:
    parts = ("distances", "losses", "miners", "reducers", "regularizers")
    their_names = {part: import_module(f"pytorch_metric_learning.{part}") for part in parts} | {"C": LABELS, "D": DIM}
    for embeddings, labels in batches(remark):
        torch.manual_seed(0)
        batch = {"embeddings": embeddings, "labels": labels}
        left, right = eval(theirs, their_names | batch), eval(ours, OURS | batch)
        if isinstance(left, torch.nn.Module):
            left = left.double()
            for own, given in zip(right.parameters(), left.parameters(), strict=True):
                own.data = (given if given.shape == own.shape else given.T).detach().reshape(own.shape).clone()
            left = left(embeddings, labels)
        if "a single pair" in remark and left == 0:
            continue
        right = right(embeddings, labels) if isinstance(right, torch.nn.Module) else right
        assert torch.allclose(right, left.double(), rtol=1e-5, atol=1e-7), f"{labels}: {right}, {left}"
        if "unit vectors" not in remark:
            slope, wanted = (torch.autograd.grad(one, embeddings)[0] for one in (right, left))
            assert torch.allclose(slope, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()) + 1e-7), labels


def test_most_rows_are_compared() -> None:
    assert sum(remark.startswith("equal") for *_, remark in PML) > 25 and len(OML) > 3
