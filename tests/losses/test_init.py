"""`from dmlcli import losses`: every loss and miner by its class, without torch until one is used."""

import subprocess
import sys
from typing import Any

import pytest
import torch

import dmlcli
from dmlcli import losses
from dmlcli.learn import losses as known
from tests.places import ROOT


def output(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_torch_is_imported_with_the_first_class() -> None:
    code = """
import sys
from dmlcli import losses
import dmlcli.losses.miners
losses.names(), losses.describe("triplet"), losses.miners.names(), dir(losses), dir(losses.miners)
print("torch" in sys.modules)
losses.Triplet
print("torch" in sys.modules)
"""
    assert output(code).split() == ["False", "True"]


@pytest.mark.parametrize("name", known.names())
def test_each_loss_is_a_class(name: str) -> None:
    found = getattr(losses, "".join(word.capitalize() for word in name.split("-")))
    assert found is known.load(name) and issubclass(found, losses.Loss)
    assert found(num_labels=3, embedding_dim=8).embedding_dim == 8


@pytest.mark.parametrize("name", known.miners.names())
def test_each_miner_is_a_class(name: str) -> None:
    found = getattr(losses.miners, "".join(word.capitalize() for word in name.split("-")))
    assert found is known.miners.load(name) and issubclass(found, losses.miners.Miner)


def test_names_are_listed() -> None:
    assert {"FastAp", "ProxyAnchor", "SelfSupervised", "Memory", "build", "miners"} <= set(dir(losses))
    assert {"TopN", "MultiSimilarity", "Miner"} <= set(dir(losses.miners))


def test_a_wrong_name_is_an_attribute_error() -> None:
    missing: Any = losses
    for module in (missing, missing.miners):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Tripplet'"):
            _ = module.Tripplet


def test_a_sum_is_built_from_a_spec() -> None:
    torch.manual_seed(0)
    loss = losses.build("softmax+0.5*triplet:margin=0.3", num_labels=4, embedding_dim=8)
    assert isinstance(loss, losses.WeightedSum)
    embeddings, labels = torch.randn(8, 8), torch.arange(8) % 4
    triplet = losses.Triplet(num_labels=4, embedding_dim=8, margin=0.3)
    expected = loss.losses[0](embeddings, labels) + 0.5 * triplet(embeddings, labels)
    assert torch.allclose(loss(embeddings, labels), expected)


def test_it_is_the_command_too() -> None:
    """However it was imported, and also as an attribute of the package."""
    for module in (dmlcli.losses, sys.modules["dmlcli.losses"]):
        command: Any = module
        assert [loss.name for loss in command("triplet").losses] == ["triplet"]
    code = "import dmlcli; print(len(dmlcli.losses().losses)); import dmlcli.losses; print(len(dmlcli.losses().losses))"
    assert output(code).split() == [str(len(known.names()))] * 2


@pytest.mark.slow
def test_types_are_known_to_mypy(tmp_path: Any) -> None:
    """A wrong setting and a wrong name are errors, and the value of a loss is not Any."""
    code = tmp_path / "user.py"
    code.write_text(
        "from dmlcli import losses\n"
        "reveal_type(losses.ProxyAnchor(num_labels=3, embedding_dim=8, margin=0.2))\n"
        "losses.ProxyAnchor(num_labels=3, embedding_dim=8, margn=0.2)\n"
        "losses.miners.MultiSimilarty()\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", str(code)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert 'Revealed type is "dmlcli.learn.losses.proxy_anchor.ProxyAnchor"' in printed
    assert 'Unexpected keyword argument "margn"' in printed and 'has no attribute "MultiSimilarty"' in printed
