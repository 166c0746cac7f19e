"""The settings of a training run: their defaults, published recipes by name, and files of them. No torch in here.

A recipe file is TOML, one setting a line, named as on the command line. `dmlcli/learn/recipes/` holds those of papers,
each line with its source; every run leaves its own, as resolved, in its folder.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from dmlcli.errors import CannotRun, UsageError, nearest
from dmlcli.learn import losses, spec_strings

_PUBLISHED = Path(__file__).parent / "recipes"
DEEP_BATCH = 64  # images a step, where it is not asked for and the backbone is trained
_LEAST = {"dim": 2, "batch_size": 2, "views": 1, "images_per_product": 2, "accumulate": 1, "chunk": 1}  # others: 0
_WITHOUT_TRAINING = ("backbone", "weights", "tune", "pooling", "decode", "seed")  # all that --tune none looks at
_OF_THE_BACKBONE = ("batch_norm", "backbone_factor", "layer_decay", "warmup")  # what --tune head does not look at
_CHOICES = {
    "tune": ("none", "head", "top", "all", "auto"),
    "purpose": ("known", "new", "both"),
    "head": ("linear", "mlp", "bnneck", "layernorm", "identity"),
    "batch_norm": ("frozen", "free"),
    "pooling": ("avg", "max", "gem", "avg+max", "two-maps", "two-maps+descriptor"),
    "augment": ("none", "light", "retrieval", "reid", "strong"),
    "decode": ("fast", "exact"),
    "sampler": ("random", "balanced", "pk", "category-pk", "n-pair"),
    "precision": ("auto", "float32", "bfloat16"),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run, named as on the command line; these defaults are those of `dmlcli train`."""

    loss: str = "proxy-anchor"
    backbone: str = "mobilenet_v3_large"
    weights: str = "auto"
    tune: str = "auto"  # none, head, top, all; auto: the head, then deeper where it can
    purpose: str = "both"  # search among known products, new ones, or both: --for
    head: str = "linear"
    batch_norm: str = "frozen"  # or free, where the backbone is trained
    pooling: str | None = None  # None: as many as the backbone allows
    dim: int = 256
    epochs: int = 20
    batch_size: int = 256  # images a step looks at; where the backbone is trained too, 64
    learning_rate: float = 1e-3  # of the head
    views: int = 2
    augment: str = "light"  # a preset of random views
    decode: str = "fast"  # large JPEGs at a reduced scale; or exact
    seed: int = 0
    sampler: str | None = None  # None: as the loss needs, balanced where it needs nothing and the catalog is not
    images_per_product: int | None = None  # None: 4, or fewer where most products have fewer
    memory: str | None = None

    # how the parameters move
    optimizer: str = "adamw"
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    backbone_factor: float = 0.1  # times the learning rate: pretrained weights need smaller steps than a new head
    loss_factor: float | None = None  # times the learning rate; None: as the loss states for its proxies
    layer_decay: float = 1.0  # each block of the backbone moves by this factor slower than the one after it
    warmup: int = 0  # epochs in which the backbone still stands
    clip: str = "value:10"  # Proxy-Anchor's setting
    accumulate: int = 1  # batches a step
    chunk: int | None = None  # images in memory at a time, the batch in two passes; None: all of it at once
    ema: float | None = None  # decay of the moving average of the weights; None: no average
    patience: int = 6  # epochs without a better validation score after which training stops; 0: never
    precision: str = "auto"  # auto, float32 or bfloat16

    def check(self) -> None:
        """Raise UsageError where a word is unknown, a number out of range, or settings do not go together."""
        for name, value in asdict(self).items():
            least = _LEAST.get(name, 0)
            if isinstance(value, int | float) and name != "seed" and not value >= least:
                raise UsageError(f"{_option(name)} is {value:g}, and starts at {least}")
            if isinstance(value, str) and not _is_utf8(value):
                raise UsageError(
                    f"{_option(name)} {value!r} is not valid UTF-8, and a run records its settings as text",
                    hint="rename the file, or name a link to it",
                )
            if name in _CHOICES and value is not None and value not in _CHOICES[name]:
                raise UsageError(f"{_option(name)} takes no '{value}'", hint=nearest(value, list(_CHOICES[name])))
        losses.parse(self.loss)
        spec_strings.parse("--optimizer", self.optimizer, spec_strings.OPTIMIZERS)
        spec_strings.parse("--clip", self.clip, spec_strings.CLIPS)
        schedule = spec_strings.parse("--schedule", self.schedule, spec_strings.SCHEDULES)
        if schedule.word == "step" and not schedule.number("every") and not schedule.numbers("at"):
            raise UsageError("--schedule step does not say when", hint="step:every=10 or step:at=20,40,factor=0.1")
        if self.ema is not None and self.ema >= 1:
            raise UsageError(f"--ema is {self.ema:g}, and stays below 1", hint="--ema 0.999")
        if self.head == "identity" and self.tune in ("head", "auto"):
            raise UsageError(
                f"--head identity leaves --tune {self.tune} no head to train", hint="--tune top, all or none"
            )
        if self.chunk is not None and self.batch_norm == "free":
            raise UsageError("--chunk needs a batch norm that stands still", hint="--batch-norm frozen")
        if self.chunk is not None and self.accumulate > 1:
            raise UsageError(
                "--chunk and --accumulate do not go together: in two passes a batch is as large as it need be",
                hint="a larger --batch-size, and no --accumulate",
            )


SETTINGS = tuple(Recipe.__dataclass_fields__)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of a verb those that are settings of a recipe and were asked for."""
    return {name: options[name] for name in SETTINGS if options.get(name) is not None}


def resolve(named: str | None, asked: Mapping[str, Any]) -> Recipe:
    """The recipe that is named (a published one, or a file), with what is asked for in its place, all checked."""
    settings = (read(named) if named else {}) | dict(asked)
    if "weights" in settings:
        settings["weights"] = str(settings["weights"])  # a path, from Python
    if settings.get("tune") in ("top", "all"):
        settings.setdefault("batch_size", DEEP_BATCH)
    recipe = Recipe(**settings)
    recipe.check()
    return recipe


def published() -> list[str]:
    """The names that `--recipe` knows."""
    return sorted(file.stem for file in _PUBLISHED.glob("*.toml"))


def read(named: str) -> dict[str, Any]:
    """The settings of a published recipe, or of a file; raises UsageError for a setting that does not exist."""
    file = _PUBLISHED / f"{named}.toml"
    if named not in published():
        file = Path(named)
        if not file.is_file():
            raise UsageError(f"there is no recipe '{named}', published or as a file", hint=nearest(named, published()))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CannotRun(f"cannot read the recipe {file}: {error}", hint="one setting a line: epochs = 40") from error
    return from_text(text, file)


def from_text(text: str, file: Path) -> dict[str, Any]:
    """The settings in the text of a recipe file; errors name `file`."""
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        raise CannotRun(f"cannot read the recipe {file}: {error}", hint="one setting a line: epochs = 40") from error
    return {key.replace("-", "_"): _checked(file, key.replace("-", "_"), value) for key, value in values.items()}


def to_toml(recipe: Recipe) -> str:
    """The recipe as a file that `read` takes; settings without a value are left out."""
    lines = (f"{key} = {_toml(value)}" for key, value in asdict(recipe).items() if value is not None)
    return "\n".join(lines) + "\n"


def check_used(recipe: Recipe, asked: Mapping[str, Any]) -> None:
    """Raise UsageError where one of the settings asked for has no effect at the depth that is trained."""
    idle = [name for name in asked if name not in _WITHOUT_TRAINING] if recipe.tune == "none" else []
    if recipe.tune == "head":
        idle = [name for name in asked if name in _OF_THE_BACKBONE]
    if idle:
        named = ", ".join(_option("for" if name == "purpose" else name) for name in idle)
        what = "trains nothing" if recipe.tune == "none" else "trains the head alone"
        raise UsageError(f"--tune {recipe.tune} {what}, so {named} would have no effect", hint=f"leave out {named}")


def differences(recipe: Recipe, other: Recipe) -> list[str]:
    """The settings in which two recipes differ, as a person reads them."""
    pairs = zip(asdict(recipe).items(), asdict(other).values(), strict=True)
    return [f"{_option(name)} was {there}, now {here}" for (name, here), there in pairs if here != there]


def _checked(file: Path, key: str, value: object) -> object:
    if key not in SETTINGS:
        raise UsageError(f"{file} has a setting '{key}', and there is none", hint=nearest(key, list(SETTINGS)))
    hint = get_type_hints(Recipe)[key]
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        raise UsageError(f"{file}: {key} takes {kinds[0].__name__}, not {value!r}")
    return value


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value).lower()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
