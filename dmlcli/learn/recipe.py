"""What was asked of a training run, as it is saved with the model and repeated by `--recipe`. No torch in here."""

from dataclasses import dataclass

from dmlcli.errors import UsageError
from dmlcli.learn import specs


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run, named as on the command line. Their defaults are those of `dmlcli train`."""

    loss: str = "proxy-anchor"
    backbone: str = "mobilenet_v3_large"
    weights: str = "auto"
    tune: str = "head"  # none, head or all
    purpose: str = "both"  # search among known products, new ones, or both: --for
    head: str = "linear"
    batch_norm: str = "frozen"  # or free, where the backbone is trained
    pooling: str | None = None  # None: as many as the backbone allows
    dim: int = 256
    epochs: int = 20
    batch_size: int = 256  # images a step looks at; 64 with tune = "all"
    learning_rate: float = 1e-3  # of the head
    views: int = 2
    seed: int = 0
    sampler: str | None = None  # None: as the loss needs
    images_per_product: int = 4
    memory: str | None = None

    # how the parameters move
    optimizer: str = "adamw"
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    backbone_factor: float = 0.1  # times the learning rate: pretrained weights need smaller steps than a new head
    loss_factor: float | None = None  # times the learning rate; None: as the loss states for its proxies
    layer_decay: float = 1.0  # each block of the backbone moves this much slower than the one after it
    warmup: int = 0  # epochs in which the backbone still stands
    clip: str = "value:10"  # Proxy-Anchor's setting
    accumulate: int = 1  # batches a step
    chunk: int | None = None  # images in memory at a time, the batch in two passes; None: all of it at once
    average: float | None = None  # decay of the moving average of the weights; None: no average
    patience: int = 6  # epochs without a better validation score after which training stops; 0: never
    precision: str = "auto"  # auto, float32 or bfloat16

    def check(self) -> None:
        """Raise UsageError where a word is unknown or settings do not go together."""
        specs.parse("--optimizer", self.optimizer, specs.OPTIMIZERS)
        specs.parse("--clip", self.clip, specs.CLIPS)
        schedule = specs.parse("--schedule", self.schedule, specs.SCHEDULES)
        if schedule.word == "step" and not schedule.number("every") and not schedule.numbers("at"):
            raise UsageError("--schedule step does not say when", hint="step:every=10 or step:at=20,40,factor=0.1")
        if self.chunk is not None and self.accumulate > 1:
            raise UsageError(
                "--chunk and --accumulate do not go together: in two passes a batch is as large as it need be",
                hint="a larger --batch-size, and no --accumulate",
            )
