"""How the weights are fitted."""

from typing import Annotated, Literal

from dmlcli.options.spec import Option

Epochs = Annotated[
    int | None,
    Option(
        min=0,
        help="Maximum number of epochs; training stops early by itself.  [default: 20, compare 10]",
        show_default=False,
    ),
]
LearningRate = Annotated[
    float | None,
    Option(
        min=0,
        help="Learning rate of the head; the backbone gets a tenth, proxies what their loss says.  [default: 0.001]",
        show_default=False,
    ),
]
Optimizer = Annotated[
    str | None,
    Option(
        help="Optimizer: adamw, adam or sgd, e.g. adam:eps=1 or sgd:momentum=0.9.  [default: adamw]", show_default=False
    ),
]
Schedule = Annotated[
    str | None,
    Option(
        help="Learning-rate schedule: constant, cosine, step:every=10,factor=0.5, step:at=40,70, one-cycle, or "
        "plateau:patience=4; ramp=5 rises first.  [default: cosine]",
        show_default=False,
    ),
]
WeightDecay = Annotated[
    float | None, Option(min=0, help="Weight decay of head and backbone.  [default: 0.0001]", show_default=False)
]
BackboneFactor = Annotated[
    float | None,
    Option(min=0, help="Factor on the learning rate for the backbone.  [default: 0.1]", show_default=False),
]
LossFactor = Annotated[
    float | None,
    Option(
        min=0,
        help="Factor on the learning rate for the loss's own parameters (proxies).  [default: as the loss says]",
        show_default=False,
    ),
]
LayerDecay = Annotated[
    float | None,
    Option(
        min=0,
        max=1,
        help="Layer-wise decay: factor from each block of the backbone to the one before.  [default: 1]",
        show_default=False,
    ),
]
Warmup = Annotated[
    int | None,
    Option(min=0, help="Epochs with a frozen backbone at the start.  [default: 0]", show_default=False),
]
Clip = Annotated[
    str | None,
    Option(help="Clip gradients: value:10 (each entry), norm:3, or none.  [default: value:10]", show_default=False),
]
Accumulate = Annotated[
    int | None,
    Option(min=1, help="Batches whose gradients are accumulated for one step.  [default: 1]", show_default=False),
]
Chunk = Annotated[
    int | None,
    Option(
        min=1,
        help="Images in memory at a time: large batches in two passes (gradient cache).  [default: all]",
        show_default=False,
    ),
]
Ema = Annotated[
    float | None,
    Option(min=0, max=1, help="Use an exponential moving average of the weights, e.g. 0.999.", show_default=False),
]
Patience = Annotated[
    int | None,
    Option(
        min=0, help="Epochs without improvement after which training stops; 0: never.  [default: 6]", show_default=False
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"] | None,
    Option(
        help="Precision of training; auto: the one that the device is fast in.  [default: auto]", show_default=False
    ),
]
