"""Embedding of images with a model: by its inference graph if it has one, else by torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmlcli import dist_env, interrupts, progress, storage
from dmlcli.devices import open_forward
from dmlcli.errors import EmbeddingsError, UsageError
from dmlcli.image import ImageSettings, view
from dmlcli.model import DEFAULT_BACKBONE, Model, ModelRecord, open_model
from dmlcli.types import Forward, Pixels, Vectors, View

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog
    from dmlcli.embeddings import Computed, Embeddings
    from dmlcli.workspace import Workspace

OBJECT = "object"  # in place of the name of a view: the object of each photo (`object_crops`)
_WORDS = (None, "auto", "pretrained", "none")  # values of --weights that are not files


@dataclass(frozen=True)
class EncoderOptions:
    """The pretrained backbone to use without a trained model (None: the default), and the device."""

    backbone: str | None = None
    weights: str | None = None  # auto, pretrained, none, or a file
    pooling: str | None = None
    device: str = "auto"
    provider: str | None = None

    def differences(self, record: ModelRecord) -> list[str]:
        """Return the differences between a model and these options, as text; empty if there are none."""
        differ = []
        if self.backbone not in (None, record.backbone, record.recipe.get("backbone")):
            differ.append(f"--backbone {self.backbone}, but it has {record.backbone}")
        if self.weights == "pretrained" and record.caution:
            differ.append("--weights pretrained, but it has none")
        elif self.weights == "none" and record.weights_from != "none (random)":
            differ.append(f"--weights none, but it has {record.weights_from}")
        elif self.weights not in (None, "auto", "pretrained", "none") and not _is_same(
            self.weights, record.weights_from
        ):
            differ.append(f"--weights {self.weights}, but it has {record.weights_from}")
        if self.pooling not in (None, record.pooling):
            differ.append(f"--pooling {self.pooling}, but it has {record.pooling or 'that of the published network'}")
        return differ

    def check(self, model: Model | None) -> None:
        """Raise UsageError where a model was made with another backbone, other weights or another pooling.

        Args:
            model: None where embeddings are given and nothing is known of their model.
        """
        asked = (self.backbone, self.weights, self.pooling)
        if model is None and asked != (None, None, None):
            raise UsageError(
                "--backbone, --weights and --pooling have no effect on embeddings of an unknown model",
                hint="remove them",
            )
        if model is not None and (others := self.differences(model.record)):
            raise UsageError(
                f"the model {model.folder} does not match: {'; '.join(others)}",
                hint="remove the option, use another workspace with -w, or train a model with dmlcli train",
            )


def _is_same(file: str | None, other: str) -> bool:
    return Path(file or "").absolute() == Path(other).absolute()


def find_or_make_model(
    named: Path | None, place: "Workspace", photos: "Catalog", options: EncoderOptions | None = None
) -> Model:
    """Return the model to embed with: the given one, the workspace's, or a pretrained backbone, saved there.

    Args:
        named: a model folder.
        place: a pretrained backbone that is kept here is replaced if another one is requested; a trained model is
            not.
        photos: a few of them check the saved model.
        options: which backbone to use where nothing was trained.

    Returns:
        The opened model.

    Raises:
        UsageError: the model that is there has another backbone than `options` ask for.
        ModelError: the model that is named or there cannot be opened.
    """
    asked = options or EncoderOptions()
    if dist_env.rank() > 0 and named is None:
        # the main process makes it, or ends them all where it cannot
        dist_env.wait_until(lambda: place.model.exists() and not asked.differences(open_model(place.model).record))
    if named is not None or storage.restore(place.model).exists():
        model = open_model(named or place.model)
        is_trained = bool(model.record.products or model.record.scores)
        if named is not None or is_trained or not asked.differences(model.record):
            asked.check(model)
            return model
        progress.note(f"the pretrained {model.record.backbone} in {place.model} is replaced")
        from dmlcli import model_history

        model_history.keep(place.models, place.model)  # an index that it made uses it until it is rebuilt
    else:
        used = asked.backbone or DEFAULT_BACKBONE
        progress.note(f"no trained model: the pretrained {used} is used without training")
    from dmlcli.learn.networks import frozen, pretrained  # torch starts here

    backbone = asked.backbone or DEFAULT_BACKBONE
    start = pretrained.resolve(backbone, str(asked.weights or "auto"))
    network = frozen.build_search_network(start, pooling=asked.pooling)
    return frozen.save(place.model, network, start, photos, asked_for=backbone)


class Encoder:
    """A model ready to embed.

    `view` turns the bytes of an image file into pixels (3, H, W), `forward` a batch of them into unit vectors (B, D).
    With `views` (flip, crops), an image is what several views of it are on average; `object` is only a name: catalogs
    then have the boxes of `object_crops`. `few` says that it is made for an image or two, `narrow` that bfloat16 is
    exact enough; `device` and `provider` are those of `devices.open_forward`.
    """

    def __init__(
        self,
        model: Model,
        views: str = "",
        *,
        few: bool = False,
        narrow: bool = False,
        device: str = "cpu",
        provider: str | None = None,
    ) -> None:
        self.model = model
        self.views = views
        self.fingerprint = model.record.fingerprint
        self.view: View = lambda data: view(data, model.record.image)
        self.forward = open_forward(model, device, provider, few=few, narrow=narrow)
        if views not in ("", OBJECT):
            self.view, self.forward = _several(views, model.record.image), _averaged(self.forward)

    def embed_catalog(
        self,
        photos: "Catalog",
        known: "Sequence[Embeddings]",
        keep_at: Path | None = None,
        *,
        trusting: bool = True,
    ) -> "Computed":
        """Embed the images that `known` does not hold.

        Args:
            photos: what is embedded.
            known: embeddings that may hold some of the images.
            keep_at: where the caller saves the result; until then it is kept beside that, part by part, and what a run
                that was cut short has left there is not computed again.
            trusting: whether a file with the size, times and inode that it had is taken as unchanged unread.

        Returns:
            The embeddings, and what could not be read.

        Raises:
            CatalogError: the catalog went away while it was read.
            EmbeddingsError: not one image could be embedded.
        """
        computed = self._computed(photos, known, keep_at, "embedding", keep_all=False, trusting=trusting)
        if not computed.embeddings.items and computed.skipped:
            path, reason = computed.skipped[0].path, computed.skipped[0].reason
            more = len(computed.skipped) - 1
            raise EmbeddingsError(
                f"none of the {len(photos.items)} images could be embedded: {path}: {reason}"
                f"{f' (and {more} more)' if more else ''}",
                hint="nothing was written; check the paths, --root DIR, and that the disk is mounted",
            )
        return computed

    def embed_part(self, photos: "Catalog", known: "Sequence[Embeddings]", keep_at: Path) -> None:
        """Embed a part of the images as one of several processes, and save it next to `keep_at`.

        The main process returns when all parts exist, so that `embed_catalog` can merge them.

        Args:
            photos: the whole catalog.
            known: embeddings that are not computed again.
            keep_at: the output of the command.
        """
        from dmlcli.embeddings import BATCH, is_done, mark_done

        rank, count = dist_env.rank(), dist_env.world()
        batches = -(-len(photos.items) // BATCH)  # none is cut in two, so that images meet in it as they always do
        start, end = (BATCH * (batches * number // count) for number in (rank, rank + 1))
        part = replace(photos, items=photos.items[start:end])
        self._computed(part, known, keep_at, f"embedding, part {rank + 1} of {count}", keep_all=True)
        mark_done(keep_at, rank)
        if rank == 0:
            dist_env.wait_until(lambda: all(is_done(keep_at, other) for other in range(count)))

    def _computed(
        self,
        photos: "Catalog",
        known: "Sequence[Embeddings]",
        keep_at: Path | None,
        label: str,
        *,
        keep_all: bool,
        trusting: bool = True,
    ) -> "Computed":
        from dmlcli.embeddings import compute, open_shards, save_shard

        def keep(done: "Embeddings") -> None:
            if keep_at is not None:
                save_shard(keep_at, done)

        if keep_at is not None:
            known = [*known, *open_shards(keep_at)]

        words = ("the embeddings computed so far are kept", "run the same command again") if keep_at else ("", "")
        with interrupts.keeping(*words):
            return compute(
                photos,
                self.view,
                self.forward,
                self.fingerprint,
                views=self.views,
                known=known,
                label=label,
                keep=keep,
                keep_all=keep_all,
                trusting=trusting,
            )

    def embed(self, data: bytes) -> Vectors:
        """Return the unit vector (1, D) of one image file; raises ImageError where it cannot be read."""
        return self.forward(self.view(data)[None])


def _several(views: str, settings: ImageSettings) -> View:
    """Return the plain view and its mirror image, or the center and the four corners of the larger square around it."""

    def flip(data: bytes) -> Pixels:
        plain = view(data, settings)
        return np.stack([plain, plain[:, :, ::-1]])  # (V, 3, H, W)

    def crops(data: bytes) -> Pixels:
        large = view(data, replace(settings, crop=settings.resize))
        far = settings.resize - settings.crop
        starts = [(far // 2, far // 2), (0, 0), (0, far), (far, 0), (far, far)]
        return np.stack([large[:, y : y + settings.crop, x : x + settings.crop] for y, x in starts])  # (V, 3, H, W)

    return {"flip": flip, "crops": crops}[views]


def _averaged(forward: Forward) -> Forward:
    """Return a function from batches of several views (B, V, 3, H, W) to the direction of their mean (B, D)."""

    def average(batch: Pixels) -> Vectors:
        vectors = forward(batch.reshape(-1, *batch.shape[2:]))  # (B V, D)
        mean = vectors.reshape(*batch.shape[:2], -1).mean(axis=1)  # (B, D)
        lengths = np.linalg.norm(mean, axis=1, keepdims=True)
        return np.asarray(mean / np.where(lengths == 0, 1, lengths), dtype=np.float32)

    return average
