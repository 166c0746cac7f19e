"""Embeddings by a model from the cached features of its backbone, without reading a photo.

Training leaves the features of the frozen backbone in the workspace. A model whose backbone is the same one, with the
same image settings and pooling, embeds a photo by its head alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from dmlcli import progress
from dmlcli.embeddings import Embeddings, open_embeddings
from dmlcli.errors import EmbeddingsError, ModelError
from dmlcli.model import Model, feature_difference, head_arrays, open_model
from dmlcli.search.head_weights import head_of
from dmlcli.types import Rows, Vectors
from dmlcli.workspace import Workspace

_CHUNK = 4096  # rows that pass the head at once


def embed_cached(
    model: Model, workspace: Workspace, wanted: Collection[str] | None = None
) -> tuple[Embeddings | None, str]:
    """Return the embeddings that the head of a model makes of cached features, or None and the reason.

    Args:
        model: any model.
        workspace: has the features of its frozen backbone.
        wanted: digests of photos; None: all.
    """
    reason = _why_not(model, workspace)
    if reason:
        return None, reason
    fingerprint = open_model(workspace.frozen).record.fingerprint
    views = []
    for view in ("plain", "flip") if model.record.mirror else ("plain",):
        try:
            views.append(open_embeddings(workspace.features(fingerprint, view)))
        except EmbeddingsError:
            return None, f"the features of the {view} view are not cached"
    places = [{state.digest: row for row, state in enumerate(one.states)} for one in views]
    digests = [digest for digest in places[0] if (wanted is None or digest in wanted) and digest in places[-1]]
    if not digests:
        return None, "no features of these photos are cached"
    rows = [np.array([place[digest] for digest in digests]) for place in places]
    vectors = _vectors(model, views, rows)
    made = views[0].take(rows[0].tolist())
    return replace(made, vectors=vectors, model=model.record.fingerprint), ""


def known(model: Model, workspace: Workspace, views: str, others: Sequence[Embeddings]) -> list[Embeddings]:
    """Return what else is known for embedding a catalog: the vectors that cached features give.

    Args:
        model: that embeds.
        workspace: has the features.
        views: that are averaged; features are only those of the plain image.
        others: embeddings that are known; if some are of this model, features are not looked at.
    """
    if views or any(one.model == model.record.fingerprint for one in others):
        return []
    made, _ = embed_cached(model, workspace)
    if made is None:
        return []
    progress.note(f"{len(made.items)} photos have cached features: the head of the model makes their vectors")
    return [made]


def _why_not(model: Model, workspace: Workspace) -> str:
    """Return why the cached features are not those of a model's backbone; "" if they are."""
    try:
        return feature_difference(model, open_model(workspace.frozen))
    except ModelError:
        return "no features are cached"


def _vectors(model: Model, views: Sequence[Embeddings], rows: Sequence[Rows]) -> Vectors:
    """Return the embeddings (N, D) by the head, of the mean of the views.

    Args:
        model: has the head.
        views: the features of each view.
        rows: (N,) the rows of the photos in each.
    """
    if model.record.head.get("discriminative") == "mlp":
        from dmlcli.learn.networks.inference import head_forward  # whose units numpy has no fast function for

        forward = head_forward(model)
    else:
        forward = head_of(model.record.head, head_arrays(model)).embeddings
    made = np.empty((len(rows[0]), model.record.dim), np.float32)
    for start in range(0, len(made), _CHUNK):
        parts = [one.vectors[own[start : start + _CHUNK]] for one, own in zip(views, rows, strict=True)]
        features = parts[0].astype(np.float32, copy=False)
        if len(parts) > 1:
            features += parts[1]
            features /= np.sqrt(np.einsum("ij,ij->i", features, features))[:, None]
        made[start : start + _CHUNK] = forward(features)
    return made
