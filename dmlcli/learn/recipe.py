"""The settings of a training run. To add an option to `train`, add a field to `Recipe`; no torch in here.

The command line, its help, recipe files (recipe_files.py), dmlcli.toml, environment variables and checks follow from
the declarations of the fields.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from dmlcli import spec_strings
from dmlcli.errors import UsageError
from dmlcli.learn.setting import Setting, fields_of, format_value
from dmlcli.spec_strings import Spec, declare

if TYPE_CHECKING:
    from dmlcli.learn.losses import Term

DEEP_BATCH = 64  # the default batch size where the backbone is trained
HEAD_PATIENCE = 6  # the default patience of the head; a backbone is at its best when its rate has come down

_RAMP = declare(ramp=0.0)  # epochs in which the rate climbs from a hundredth to its full height
OPTIMIZERS = {
    "adamw": declare(beta1=0.9, beta2=0.999, eps=1e-8),
    "adam": declare(beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False),  # decay is added to the gradient
    "sgd": declare(momentum=0.9, nesterov=False),
}
SCHEDULES = {
    "constant": _RAMP,
    "cosine": (*declare(to=0.0), *_RAMP),  # falls along half a cosine to this share of the rate
    "step": (*declare(every=0.0, at=(), factor=0.1), *_RAMP),  # epochs; below 1 they are shares of the run
    "one-cycle": declare(rise=0.1),  # share of the run in which the rate rises, then it falls along half a cosine
    "plateau": (*declare(patience=4.0, factor=0.1, threshold=0.001), *_RAMP),  # epochs without a better score
}
CLIPS = {"value": declare(max=10.0), "norm": declare(max=1.0), "none": ()}
_MEMORY = "--memory 8192 or --memory 8192:start=1000"


class MemorySpec(NamedTuple):
    """The size of a cross-batch memory, and the batches before its first use."""

    size: int
    start: int | None = None  # None: a tenth of the run, 1,000 batches at most


def _complete_loss(incomplete: str) -> list[str]:
    from dmlcli.learn import losses

    return [name for name in losses.names() if name.startswith(incomplete)]


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run, one field for each option, with their defaults."""

    loss: Annotated[
        str,
        Setting(
            "Loss", "Loss with its settings, e.g. triplet:margin=0.2 (see dmlcli losses).", complete=_complete_loss
        ),
    ] = "proxy-anchor"
    memory: Annotated[
        str | None,
        Setting(
            "Loss",
            "Cross-batch memory: number of past embeddings to compare with: 8192, or 8192:start=500 (batches).",
        ),
    ] = None
    sampler: Annotated[
        str | None,
        Setting(
            "Loss",
            "How batches are sampled.",
            choices=("random", "balanced", "pk", "category-pk", "n-pair"),
            default="as loss and catalog need",
        ),
    ] = None
    images_per_product: Annotated[
        int | None,
        Setting(
            "Loss",
            "Images per product (K) of the samplers pk and category-pk.",
            min=2,
            default="4, or the median of the catalog if lower",
        ),
    ] = None
    batch_size: Annotated[
        int, Setting("Loss", "Batch size.", min=2, default=f"256, or {DEEP_BATCH} where the backbone is trained")
    ] = 256
    loss_factor: Annotated[
        float | None,
        Setting(
            "Loss", "Factor on the learning rate for the loss's own parameters (proxies).", default="set by the loss"
        ),
    ] = None

    backbone: Annotated[
        str,
        Setting(
            "Network",
            "efficientnet_lite0 (extra weights), torchvision network by its name there, timm:NAME (extra timm), or "
            "descriptor (needs no weights); or a need: fast, balanced, best, fashion, packages (see dmlcli backbones).",
            scope="always",
        ),
    ] = "efficientnet_lite0"
    weights: Annotated[
        str,
        Setting(
            "Network",
            "auto (pip package, cache, download, else descriptor), pretrained, none, or a file.",
            scope="always",
        ),
    ] = "auto"
    tune: Annotated[
        str,
        Setting(
            "Network",
            "Layers to train: none (the frozen baseline), the head on cached features, the backbone's last stage "
            "too, or all of it; auto: the head, then deeper where device and --budget allow it.",
            choices=("none", "head", "top", "all", "auto"),
            scope="always",
        ),
    ] = "auto"
    head: Annotated[
        str,
        Setting(
            "Network",
            "Layers on top of the backbone; identity: none, only the backbone is trained.",
            choices=("linear", "mlp", "bnneck", "layernorm", "identity"),
        ),
    ] = "linear"
    dim: Annotated[int, Setting("Network", "Embedding dimension.", min=2)] = 256
    pooling: Annotated[
        str | None,
        Setting(
            "Network",
            "Pooling of the last feature map; two-maps: also of a map twice its size; two-maps+descriptor: with the "
            "built-in descriptor, too.",
            choices=("avg", "max", "gem", "avg+max", "two-maps", "two-maps+descriptor"),
            default="the last of these that the backbone supports",
            scope="always",
        ),
    ] = None
    batch_norm: Annotated[
        str,
        Setting(
            "Network",
            "Keep batch-norm statistics as pretrained, or update them with --tune all.",
            choices=("frozen", "free"),
            scope="backbone",
        ),
    ] = "frozen"
    decode: Annotated[
        str,
        Setting(
            "Network",
            "Decode large JPEGs at twice the size needed (fast) or fully (exact); kept in the model.",
            choices=("fast", "exact"),
            scope="always",
        ),
    ] = "fast"

    epochs: Annotated[int, Setting("Optimization", "Maximum number of epochs; training stops early by itself.")] = 20
    learning_rate: Annotated[
        float,
        Setting(
            "Optimization",
            "Learning rate of the head; --backbone-factor and --loss-factor scale it for backbone and proxies.",
        ),
    ] = 1e-3
    optimizer: Annotated[
        str, Setting("Optimization", "Optimizer: adamw, adam or sgd, e.g. adam:eps=1 or sgd:momentum=0.9.")
    ] = "adamw"
    schedule: Annotated[
        str,
        Setting(
            "Optimization",
            "Learning-rate schedule: constant, cosine, step:every=10,factor=0.5, step:at=40,70, one-cycle, or "
            "plateau:patience=4; ramp=5 rises first.",
        ),
    ] = "cosine"
    weight_decay: Annotated[float, Setting("Optimization", "Weight decay of head and backbone.")] = 1e-4
    backbone_factor: Annotated[
        float, Setting("Optimization", "Factor on the learning rate for the backbone.", scope="backbone")
    ] = 0.1
    layer_decay: Annotated[
        float,
        Setting(
            "Optimization",
            "Layer-wise decay: factor from each block of the backbone to the one before.",
            max=1,
            scope="backbone",
        ),
    ] = 1.0
    warmup: Annotated[int, Setting("Optimization", "Epochs with a frozen backbone at the start.", scope="backbone")] = 0
    clip: Annotated[str, Setting("Optimization", "Clip gradients: value:10 (each entry), norm:3, or none.")] = (
        "value:10"
    )
    accumulate: Annotated[
        int, Setting("Optimization", "Batches whose gradients are accumulated for one step.", min=1)
    ] = 1
    chunk: Annotated[
        int | None,
        Setting(
            "Optimization",
            "Images in memory at a time: large batches in two passes (gradient cache).",
            min=1,
            default="all",
        ),
    ] = None
    ema: Annotated[
        float | None,
        Setting("Optimization", "Use an exponential moving average of the weights, e.g. 0.999.", max=1),
    ] = None
    views: Annotated[
        int,
        Setting("Optimization", "Views of each training image: plain, mirrored, then random crops.", min=1, max=64),
    ] = 2
    augment: Annotated[
        str,
        Setting(
            "Optimization",
            "Augmentation: none, light (crops and brightness), retrieval (crops alone), reid (erased parts), strong.",
            choices=("none", "light", "retrieval", "reid", "strong"),
        ),
    ] = "light"
    precision: Annotated[
        str,
        Setting(
            "Optimization",
            "Precision of training; auto: the one that the device is fast in.",
            choices=("auto", "float32", "bfloat16"),
        ),
    ] = "auto"

    purpose: Annotated[
        str,
        Setting(
            "Validation",
            "Products that will be searched for: seen in training, unseen, or both.",
            choices=("seen", "unseen", "both"),
            option="--for",
        ),
    ] = "both"
    patience: Annotated[
        int | None,
        Setting(
            "Validation",
            "Epochs without improvement after which training stops; 0: never.",
            default=f"{HEAD_PATIENCE}, or 0 where the backbone is trained",
        ),
    ] = None
    seed: Annotated[
        int,
        Setting("Run", "Random seed; equal seeds give equal models on one machine.", min=None, scope="always"),
    ] = 0

    @property
    def stops_after(self) -> int:
        """The epochs without improvement after which the stage `tune` stops; 0: never."""
        if self.patience is not None:
            return self.patience
        return HEAD_PATIENCE if self.tune == "head" else 0

    @cached_property
    def loss_terms(self) -> "tuple[Term, ...]":
        """The losses that are added, with their weights and settings."""
        from dmlcli.learn import losses

        return losses.parse(self.loss)

    @cached_property
    def optimizer_spec(self) -> Spec:
        """The optimizer with its settings."""
        return spec_strings.parse("--optimizer", self.optimizer, OPTIMIZERS)

    @cached_property
    def schedule_spec(self) -> Spec:
        """The learning-rate schedule with its settings."""
        return spec_strings.parse("--schedule", self.schedule, SCHEDULES)

    @cached_property
    def clip_spec(self) -> Spec:
        """The clipping of gradients with its limit."""
        return spec_strings.parse("--clip", self.clip, CLIPS)

    @cached_property
    def memory_spec(self) -> MemorySpec | None:
        """The cross-batch memory; None: there is none."""
        if self.memory is None:
            return None
        size = self.memory.partition(":")[0]
        if not size.isdecimal() or int(size) < 1:
            message = f"invalid value for --memory: '{self.memory}' (expected a number of embeddings)"
            raise UsageError(message, hint=_MEMORY)
        spec = spec_strings.parse("--memory", self.memory, {size: declare(start=1000)}, hint=_MEMORY)
        return MemorySpec(int(size), int(spec.number("start")) if spec.given else None)

    def check(self) -> None:
        """Raise UsageError for an unknown word, a number out of range, or settings that exclude each other."""
        for name, field in FIELDS.items():
            field.check(getattr(self, name))
        _ = self.loss_terms, self.optimizer_spec, self.clip_spec, self.memory_spec
        if self.schedule_spec.word == "step" and not (
            self.schedule_spec.number("every") or self.schedule_spec.numbers("at")
        ):
            raise UsageError(
                "invalid --schedule 'step': needs every or at", hint="step:every=10 or step:at=20,40,factor=0.1"
            )
        if self.ema == 1:
            raise UsageError("invalid --ema 1: must be below 1", hint="--ema 0.999")
        if self.head == "identity" and self.tune in ("head", "auto"):
            raise UsageError(
                f"--head identity cannot be trained with --tune {self.tune}", hint="--tune top, all or none"
            )
        if self.chunk is not None and self.batch_norm == "free":
            raise UsageError("--chunk cannot be used with --batch-norm free", hint="--batch-norm frozen")
        if self.chunk is not None and self.accumulate > 1:
            raise UsageError(
                "--chunk cannot be used with --accumulate", hint="a larger --batch-size, and no --accumulate"
            )


FIELDS = fields_of(Recipe)


def overrides(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe that are not None: they replace those of a recipe file, or the defaults."""
    return {name: settings[name] for name in FIELDS if settings.get(name) is not None}


def check_used(recipe: Recipe, names: Iterable[str]) -> None:
    """Raise UsageError if one of these settings has no effect on the layers that `recipe` trains."""
    scopes = {"none": ("training", "backbone"), "head": ("backbone",)}.get(recipe.tune, ())
    unused = [FIELDS[name].option for name in names if FIELDS[name].setting.scope in scopes]
    if unused:
        named = ", ".join(unused)
        what = "trains nothing" if recipe.tune == "none" else "trains the head alone"
        raise UsageError(f"--tune {recipe.tune} {what}, so {named} would have no effect", hint=f"leave out {named}")


def differences(recipe: Recipe, other: Recipe) -> list[str]:
    """Return the settings in which two recipes differ, for messages."""
    now, before = asdict(recipe), asdict(other)
    return [
        f"{field.option} was {format_value(before[name])}, now {format_value(now[name])}"
        for name, field in FIELDS.items()
        if now[name] != before[name]
    ]
