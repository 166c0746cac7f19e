"""How the weights are fitted."""

from typing import Annotated, Literal

from dmlcli.options.spec import Option

Epochs = Annotated[
    int | None,
    Option(
        min=0,
        help="Most passes over the training images; training stops early by itself.  [default: 20, compare 10]",
        show_default=False,
    ),
]
LearningRate = Annotated[
    float | None,
    Option(
        min=0,
        help="Of the head; the backbone gets a tenth, proxies what their loss says.  [default: 0.001]",
        show_default=False,
    ),
]
Optimizer = Annotated[
    str | None,
    Option(help="adamw, adam or sgd, e.g. adam:eps=1 or sgd:momentum=0.9.  [default: adamw]", show_default=False),
]
Schedule = Annotated[
    str | None,
    Option(
        help="Of the learning rate: constant, cosine, step:every=10,factor=0.5, step:at=40,70, one-cycle, or "
        "plateau:patience=4; ramp=5 rises first.  [default: cosine]",
        show_default=False,
    ),
]
WeightDecay = Annotated[
    float | None, Option(min=0, help="Of head and backbone.  [default: 0.0001]", show_default=False)
]
BackboneFactor = Annotated[
    float | None,
    Option(min=0, help="Times the learning rate, for the backbone.  [default: 0.1]", show_default=False),
]
LossFactor = Annotated[
    float | None,
    Option(
        min=0,
        help="Times the learning rate, for proxies and the like.  [default: as the loss says]",
        show_default=False,
    ),
]
LayerDecay = Annotated[
    float | None,
    Option(
        min=0,
        max=1,
        help="Each block of the backbone this much slower than the next.  [default: 1]",
        show_default=False,
    ),
]
Warmup = Annotated[
    int | None,
    Option(min=0, help="Epochs in which the backbone still stands.  [default: 0]", show_default=False),
]
Clip = Annotated[
    str | None,
    Option(help="Gradients: value:10 (each entry), norm:3, or none.  [default: value:10]", show_default=False),
]
Accumulate = Annotated[
    int | None, Option(min=1, help="Batches whose gradients make one step.  [default: 1]", show_default=False)
]
Chunk = Annotated[
    int | None,
    Option(
        min=1,
        help="Images in memory at a time: a batch of thousands, in two passes.  [default: all]",
        show_default=False,
    ),
]
Ema = Annotated[
    float | None,
    Option(min=0, max=1, help="Use an exponential moving average of the weights, e.g. 0.999.", show_default=False),
]
Patience = Annotated[
    int | None,
    Option(min=0, help="Epochs without a gain after which training stops; 0: never.  [default: 6]", show_default=False),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"] | None,
    Option(
        help="Of the network while it trains; auto: what the device is fast in.  [default: auto]", show_default=False
    ),
]
