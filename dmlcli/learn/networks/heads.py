"""Heads: what maps pooled features to embeddings of unit length."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = ("linear", "mlp", "bnneck", "layernorm", "identity")
_HIDDEN = 512  # units of the mlp
_SHARPNESS = 20.0  # scale of the cosines by which an image recalls products
_STRANGE = 0.7  # cosine to the mean of a product below which an image belongs to none


class HeadSpec(NamedTuple):
    """The head of a recipe."""

    kind: str  # one of HEADS
    dim: int  # length of an embedding


class IdentityHead(nn.Module):
    """The features themselves."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.dim = feature_dim
        self.settings: dict[str, Any] = {"kind": "identity"}

    def forward(self, features: Tensor) -> Tensor:
        """Return unit (B, F) -> the same."""
        return features

    def raw(self, features: Tensor) -> Tensor:
        """Return what a loss is given."""
        return features


class Projection(nn.Module):
    """The trained part of a head, (B, F) -> (B, D), not normalized: linear, with something before, beside or after.

    Whatever the kind, the linear layer can be set by LDA, from which gradient training starts.
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
    """Two projections of the features: `whitened` keeps what the backbone gives, `discriminative` is trained.

    Each is made unit length and weighted so that the cosine of two embeddings is
    blend * cosine of the whitened parts + (1 - blend) * cosine of the discriminative parts.

    With `prototype_attention` above 0 the discriminative part moves towards the prototypes (mean embeddings) of the
    products that it resembles: attention over the prototypes, with one entry for "none of these", so that a product
    that was never seen stays where it is. It gathers the images of seen products and leaves unseen ones alone.
    """

    def __init__(
        self,
        feature_dim: int,
        whitened_dim: int,
        discriminative_dim: int,
        *,
        discriminative: str = "linear",
        products: int = 0,
    ) -> None:
        super().__init__()
        self.dim = whitened_dim + discriminative_dim
        self.before = (
            nn.LayerNorm(feature_dim, elementwise_affine=False) if discriminative == "layernorm" else nn.Identity()
        )
        self.whitened = nn.Linear(feature_dim, whitened_dim)
        self.discriminative = Projection(discriminative, feature_dim, discriminative_dim)
        self.blend: Tensor
        self.prototype_attention: Tensor
        self.prototypes: Tensor
        self.register_buffer("blend", torch.tensor(0.5))
        self.register_buffer("prototype_attention", torch.tensor(0.0))
        self.register_buffer("prototypes", torch.zeros(products, discriminative_dim))  # (C, D), unit rows

    @property
    def settings(self) -> dict[str, Any]:
        """What `build_head` needs to make an equal one."""
        return {
            "kind": "blend",
            "whitened_dim": self.whitened.out_features,
            "discriminative_dim": self.discriminative.out_features,
            "discriminative": self.discriminative.kind,
            "products": len(self.prototypes),
        }

    def forward(self, features: Tensor) -> Tensor:
        """Return unit (B, F) -> unit (B, D)."""
        features = self.before(features)
        return self.joined(self.whitened(features), self.discriminative(features))

    def joined(self, whitened: Tensor, discriminative: Tensor) -> Tensor:
        """Return what the two layers gave, (B, whitened_dim) and (B, discriminative_dim), as one unit (B, D)."""
        whitened, discriminative = F.normalize(whitened, dim=-1), F.normalize(discriminative, dim=-1)
        if len(self.prototypes):
            discriminative = discriminative + self.prototype_attention * self._attended(discriminative)
        both = torch.cat([self.blend.sqrt() * whitened, (1 - self.blend).sqrt() * discriminative], dim=-1)
        return F.normalize(both, dim=-1)

    def raw(self, features: Tensor) -> Tensor:
        """Return the discriminative part as losses take it: unit (B, F) -> (B, D), not normalized."""
        raw: Tensor = self.discriminative(self.before(features))
        return raw

    @torch.no_grad()
    def set_prototypes(self, features: Tensor, labels: Tensor) -> None:
        """Set the prototype of each label to the mean of its images, from features (N, F) and labels (N,)."""
        unit = F.normalize(self.raw(features), dim=-1)
        sums = torch.zeros_like(self.prototypes).index_add_(0, labels, unit)
        self.prototypes.copy_(F.normalize(sums, dim=-1))

    def _attended(self, discriminative: Tensor) -> Tensor:
        similarity = _SHARPNESS * discriminative @ self.prototypes.T  # (B, C)
        none = torch.full_like(similarity[:, :1], _SHARPNESS * _STRANGE)
        attention = torch.cat([similarity, none], dim=-1).softmax(-1)[:, :-1]
        return attention @ self.prototypes  # (B, D), shorter than 1 where it is in doubt


Head = IdentityHead | BlendHead


def build_head(feature_dim: int, settings: dict[str, Any]) -> Head:
    """Return a head from the settings that a model carries."""
    arguments = {key: value for key, value in settings.items() if key != "kind"}
    return IdentityHead(feature_dim) if settings["kind"] == "identity" else BlendHead(feature_dim, **arguments)
