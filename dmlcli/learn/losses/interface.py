"""What every loss is: a module that checks its inputs before it computes anything."""

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.selection import Pairs, Triplets


class Loss(nn.Module):
    """The base of all losses: `loss(embeddings, labels)` is a scalar to minimize.

    Calling a loss checks shapes, dtypes, devices and the range of the labels, then calls `forward`. An empty batch
    gives 0, and embeddings or references whose lengths are not finite give NaN, both with a gradient; `forward` sees
    neither.

    Inside `torch.compile` and CUDA graphs only shapes, dtypes and devices are checked: looking at values, for a label
    or an index out of range or a length that is not finite, would break the graph.
    """

    family: ClassVar[str]
    sampler: ClassVar[str]
    takes_references: ClassVar[bool]
    learning_rate_factor: ClassVar[float]
    selections: ClassVar[frozenset[str]] = frozenset()  # which of `pairs` and `triplets` its `forward` takes

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.selections = frozenset({"pairs", "triplets"} & set(inspect.signature(cls.forward).parameters))

    def __init__(self, num_labels: int, embedding_dim: int) -> None:
        super().__init__()
        if num_labels < 1 or embedding_dim < 1:
            raise ValueError(f"num_labels and embedding_dim must be at least 1, not {num_labels} and {embedding_dim}")
        self.num_labels, self.embedding_dim = num_labels, embedding_dim

    def __call__(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        *,
        pairs: Pairs | None = None,
        triplets: Triplets | None = None,
    ) -> Tensor:
        """Return the loss of a batch.

        Args:
            embeddings: (B, D), floating point, D = `embedding_dim`.
            labels: (B,), integers from 0 to `num_labels` - 1; a loss without parameters takes any that are >= 0.
            references: (Q, D), what the batch is compared with in place of itself, e.g. a memory of earlier batches.
            reference_labels: (Q,), given with `references`.
            pairs: for a loss over pairs or triplets, the positive and negative pairs to look at in place of all: masks
                (positive, negative), each (B, Q), or indices (a, p, b, n), each 1-D: positives (a[i], p[i]) and
                negatives (b[i], n[i]), the second of each pair a row of the references, where given.
            triplets: likewise; indices (anchors, positives, negatives), each (T,), or one tensor (T, 3). A loss over
                pairs takes the pairs in them, each once; one over triplets makes of pairs all triplets that they form.

        Returns:
            A scalar in float32 or better.

        Raises:
            ValueError: an input of a wrong shape, dtype, device or range; references, pairs or triplets for
                a loss that takes none.
        """
        labels = self._checked(embeddings, labels, "embeddings", "labels")
        if (references is None) != (reference_labels is None):
            raise ValueError("references and reference_labels go together: one of them is missing")
        if references is not None and reference_labels is not None:
            if not self.takes_references:
                raise ValueError(f"{type(self).__name__} does not take references")
            reference_labels = self._checked(references, reference_labels, "references", "reference_labels")
            if references.device != embeddings.device:
                raise ValueError(f"references are on {references.device}, embeddings on {embeddings.device}")
        shape = len(embeddings), len(embeddings if references is None else references)
        chosen = self._chosen(pairs, triplets, shape, embeddings.device)
        if not len(embeddings):
            return embeddings.sum() * 0
        if not (_has_finite_lengths(embeddings) and (references is None or _has_finite_lengths(references))):
            return embeddings.sum() * torch.nan  # comparisons with NaN are false: a miner would find nothing to learn
        value: Tensor = super().__call__(embeddings, labels, references, reference_labels, **chosen)
        return value

    def _chosen(
        self, pairs: Pairs | None, triplets: Triplets | None, shape: tuple[int, int], device: torch.device
    ) -> dict[str, Any]:
        """Return what was given in the form that `forward` takes: masks (B, Q), or triplets (T, 3)."""
        if pairs is None and triplets is None:
            return {}
        if not self.selections:
            raise ValueError(f"{type(self).__name__} does not take pairs or triplets")
        if pairs is not None and triplets is not None:
            raise ValueError("pairs and triplets exclude each other: give one of them")
        if pairs is not None:
            masks = selection.pair_masks(pairs, shape, device)
            return {"pairs": masks} if "pairs" in self.selections else {"triplets": selection.all_triplets(*masks)}
        assert triplets is not None
        rows = selection.triplet_rows(triplets, shape, device)
        if "triplets" in self.selections:
            return {"triplets": rows}
        anchors, positives, negatives = rows.unbind(-1)
        return {"pairs": selection.pair_masks((anchors, positives, anchors, negatives), shape, device)}

    def _checked(self, rows: Tensor, labels: Tensor, name: str, label_name: str) -> Tensor:
        """Return the labels as int64; raises ValueError where they and their rows cannot be what they should be."""
        if rows.ndim != 2 or rows.shape[1] != self.embedding_dim:
            raise ValueError(f"{name} must have shape (B, {self.embedding_dim}), not {tuple(rows.shape)}")
        if not rows.is_floating_point():
            raise ValueError(f"{name} must be floating point, not {rows.dtype}")
        if labels.shape != rows.shape[:1]:
            raise ValueError(f"{label_name} must have shape ({len(rows)},), one a row, not {tuple(labels.shape)}")
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise ValueError(f"{label_name} must be integers, not {labels.dtype}")
        if labels.device != rows.device:
            raise ValueError(f"{label_name} are on {labels.device}, {name} on {rows.device}")
        labels = labels.long()
        if len(labels) and pairwise.looks_at(labels):
            low, high = (int(bound) for bound in labels.aminmax())
            bounded = next(self.parameters(), None) is not None
            if low < 0 or (bounded and high >= self.num_labels):
                highest = str(self.num_labels - 1) if bounded else "above"
                raise ValueError(f"{label_name} must be 0 to {highest}, not {low if low < 0 else high}")
        return labels


def check_above(bound: float, **settings: float) -> None:
    """Raise ValueError unless each setting, given by its name, is greater than `bound`."""
    for name, value in settings.items():
        if not value > bound:
            raise ValueError(f"{name} must be above {bound:g}, not {value:g}")


def check_at_least(low: float, **settings: float) -> None:
    """Raise ValueError unless each setting, given by its name, is `low` or greater."""
    for name, value in settings.items():
        if not value >= low:
            raise ValueError(f"{name} must be at least {low:g}, not {value:g}")


def check_between(low: float, high: float, **settings: float) -> None:
    """Raise ValueError unless each setting, given by its name, is `low` to `high`."""
    for name, value in settings.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low:g} to {high:g}, not {value:g}")


def _has_finite_lengths(rows: Tensor) -> bool:
    """Return whether no row (B, D) holds NaN or infinity, or numbers whose squares overflow."""
    if not pairwise.looks_at(rows):
        return True
    dtype = torch.promote_types(rows.dtype, torch.float32)
    return bool(torch.linalg.vector_norm(rows.detach(), dim=-1, dtype=dtype).isfinite().all())
