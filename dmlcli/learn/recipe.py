"""What was asked of a training run, as it is saved with the model. No torch in here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run, named as on the command line."""

    loss: str
    backbone: str
    weights: str
    tune: str  # none, head or all
    dim: int
    epochs: int
    batch_size: int
    learning_rate: float
    views: int
    seed: int
    sampler: str | None = None  # None: as the loss needs
    images_per_product: int = 4
    memory: str | None = None
    augment: str = "light"  # a preset of random views
    decode: str = "fast"  # large JPEGs at a reduced scale; or exact
