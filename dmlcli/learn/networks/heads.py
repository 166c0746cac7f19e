"""Heads: what maps pooled features to embeddings of unit length."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = ("linear", "mlp", "bnneck", "layernorm", "identity")
_HIDDEN = 512  # units of the mlp
_SHARPNESS = 20.0  # scale of the cosines by which an image recalls products
_STRANGE = 0.7  # cosine to the mean of a product below which an image belongs to none


class IdentityHead(nn.Module):
    """The features themselves."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.dim = feature_dim
        self.settings: dict[str, Any] = {"kind": "identity"}

    def forward(self, features: Tensor) -> Tensor:
        """Unit (B, F) -> the same."""
        return features

    def raw(self, features: Tensor) -> Tensor:
        """What a loss is given."""
        return features


class Projection(nn.Module):
    """The trained part of a head, (B, F) -> (B, D), not normalised: linear, with something before, beside or after.

    Whatever the kind, the linear layer can be set by a closed form, which the rest then starts from.
    """

    def __init__(self, kind: str, feature_dim: int, out_features: int) -> None:
        super().__init__()
        self.kind, self.out_features = kind, out_features
        self.linear = nn.Linear(feature_dim, out_features)
        if kind == "mlp":
            last = nn.Linear(_HIDDEN, out_features)
            nn.init.zeros_(last.weight)  # it starts from nothing
            nn.init.zeros_(last.bias)
            self.beside = nn.Sequential(nn.Linear(feature_dim, _HIDDEN), nn.GELU(), nn.Dropout(0.2), last)
        if kind == "bnneck":  # Luo et al., Bag of Tricks, CVPRW 2019: no shift
            self.neck = nn.BatchNorm1d(out_features)
            self.neck.bias.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Raw embeddings, for a loss."""
        raw: Tensor = self.linear(features)
        if self.kind == "mlp":
            raw = raw + self.beside(features)
        return self.neck(raw) if self.kind == "bnneck" else raw


class BlendHead(nn.Module):
    """Two views of the features side by side: `base` keeps what the backbone saw, `tuned` is trained.

    Each is made unit length and weighted so that the cosine of two embeddings is
    blend * cosine of the base parts + (1 - blend) * cosine of the tuned parts.

    With `recall` above 0 the tuned part is drawn towards the means of the products it resembles: attention over the
    means, with one place for "none of these", so that a product never seen stays where it is. It gathers the images of
    known products and leaves new ones alone.
    """

    def __init__(
        self, feature_dim: int, base_dim: int, tuned_dim: int, *, tuned: str = "linear", products: int = 0
    ) -> None:
        super().__init__()
        self.dim = base_dim + tuned_dim
        self.before = nn.LayerNorm(feature_dim, elementwise_affine=False) if tuned == "layernorm" else nn.Identity()
        self.base = nn.Linear(feature_dim, base_dim)
        self.tuned = Projection(tuned, feature_dim, tuned_dim)
        self.blend: Tensor
        self.recall: Tensor
        self.means: Tensor
        self.register_buffer("blend", torch.tensor(0.5))
        self.register_buffer("recall", torch.tensor(0.0))
        self.register_buffer("means", torch.zeros(products, tuned_dim))  # of unit length, in the tuned part

    @property
    def settings(self) -> dict[str, Any]:
        """What `build_head` needs to make an equal one."""
        return {
            "kind": "blend",
            "base_dim": self.base.out_features,
            "tuned_dim": self.tuned.out_features,
            "tuned": self.tuned.kind,
            "products": len(self.means),
        }

    def forward(self, features: Tensor) -> Tensor:
        """Unit (B, F) -> unit (B, D)."""
        features = self.before(features)
        return self.joined(self.base(features), self.tuned(features))

    def joined(self, base: Tensor, tuned: Tensor) -> Tensor:
        """What the two layers gave, (B, base_dim) and (B, tuned_dim), as one unit (B, D)."""
        base, tuned = F.normalize(base, dim=-1), F.normalize(tuned, dim=-1)
        if len(self.means):
            tuned = tuned + self.recall * self._recalled(tuned)
        both = torch.cat([self.blend.sqrt() * base, (1 - self.blend).sqrt() * tuned], dim=-1)
        return F.normalize(both, dim=-1)

    def raw(self, features: Tensor) -> Tensor:
        """The tuned part as a loss wants it: unit (B, F) -> (B, D), not normalised."""
        raw: Tensor = self.tuned(self.before(features))
        return raw

    @torch.no_grad()
    def remember(self, features: Tensor, labels: Tensor) -> None:
        """Take the mean of each label's images, of features (N, F) and labels (N,), as what is recalled."""
        unit = F.normalize(self.raw(features), dim=-1)
        sums = torch.zeros_like(self.means).index_add_(0, labels, unit)
        self.means.copy_(F.normalize(sums, dim=-1))

    def _recalled(self, tuned: Tensor) -> Tensor:
        closeness = _SHARPNESS * tuned @ self.means.T  # (B, C)
        none = torch.full_like(closeness[:, :1], _SHARPNESS * _STRANGE)
        attention = torch.cat([closeness, none], dim=-1).softmax(-1)[:, :-1]
        return attention @ self.means  # (B, D), shorter than 1 where it is in doubt


Head = IdentityHead | BlendHead


def build_head(feature_dim: int, settings: dict[str, Any]) -> Head:
    """A head from the settings that a model carries."""
    arguments = {key: value for key, value in settings.items() if key != "kind"}
    return IdentityHead(feature_dim) if settings["kind"] == "identity" else BlendHead(feature_dim, **arguments)
