"""What `models` returns: the models of the workspace."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmlcli.report.units import Count, Share


@dataclass(frozen=True)
class ModelRow:
    """One model."""

    fingerprint: str
    """Its name, for `models use` and `models diff`."""
    current: bool
    """Whether it is the model that embed, index and eval use."""
    indexed: bool
    """Whether the index was made by it, so that queries use it."""
    written: str
    """When it was written (UTC, ISO 8601)."""
    run: str
    """The training run that made it; empty where the run is not known."""
    catalog: str
    """What it was trained on, as typed; empty where the run is not known."""
    backbone: str
    """Its backbone."""
    chosen: str
    """The candidate that training selected; none where it was not trained."""
    products: "Count"
    """Products that it was trained on."""
    dim: "Count"
    """Length of an embedding."""
    score: "Share | None"
    """MAP@R in validation; null where nothing could be held out."""
    frozen_score: "Share | None"
    """MAP@R of the frozen backbone in the same validation."""
    embedded: bool
    """Whether the embeddings of the catalog by it are kept, so that `models use` need not embed."""


@dataclass(frozen=True)
class ModelsReport:
    """The models of the workspace: the current one, then the last that were in use."""

    workspace: str
    """Folder of the workspace."""
    models: tuple[ModelRow, ...]
    """The models."""
