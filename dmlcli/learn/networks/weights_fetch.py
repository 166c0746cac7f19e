"""`dmlcli backbones NAME --fetch`: weights into the cache of torch or timm, for this machine and for others."""

import hashlib
from pathlib import Path

from dmlcli import progress
from dmlcli.errors import UsageError, WeightsError
from dmlcli.learn import backbone_table
from dmlcli.learn.backbone_table import Backbone
from dmlcli.learn.networks import pretrained
from dmlcli.learn.networks.backbone import build_backbone


def fetch_weights(row: Backbone) -> str:
    """Download the weights of a backbone unless they are here, and return the SHA-256 of their file.

    Args:
        row: of the table of backbones.

    Raises:
        UsageError: the backbone has no weights.
        WeightsError: they cannot be downloaded, or their file does not fit the network.
    """
    if row.is_built_in:
        raise UsageError(f"{row.name} has no weights to fetch", hint=f"--backbone {row.name}")
    pretrained.resolve(row.name, "pretrained")
    file = backbone_table.weights_file(row)
    if file is None:
        raise WeightsError(
            f"the weights of {row.name} were loaded, but their file is in none of the usual caches",
            hint="copy the whole cache (TORCH_HOME, HF_HOME) to another machine",
        )
    _check_fits(row, file)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_fits(row: Backbone, file: Path) -> None:
    """Warn where `--weights FILE` would not take the file: some have to be converted by timm."""
    try:
        build_backbone(pretrained.resolve(row.name, str(file)))
    except WeightsError as error:
        progress.warn(f"--weights cannot read this file ({error}): copy the cache HF_HOME to another machine instead")
