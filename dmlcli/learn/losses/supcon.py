"""Every image of the same product shall be the likely pick among all other images of the batch.

Formula: mean over anchors with positives and negatives of
    -1 / |P| sum over P of ln(exp(s_p / T) / sum over P and N of exp(s / T))
Use: large batches and strong augmentation; a good partner for --memory.
Compared: pytorch-metric-learning equal; HobbitLong/SupContrast equal where all images have positives, else differs:
    it divides by all images
Source: Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, equation 2.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import distances, pairwise
from dmlcli.learn.losses.distances import Distance
from dmlcli.learn.losses.interface import Loss, check_above


class Supcon(Loss):
    """A softmax over all other images; its target is spread evenly over the positives.

    Settings:
        temperature: sharpness of the softmax; lower looks harder at the closest images
        distance: its negative takes the place of s; dot is the cosine if embeddings are normalized
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        temperature: float = 0.1,
        distance: Distance = "dot",
        normalize: bool = True,
    ) -> None:
        check_above(0, temperature=temperature)
        super().__init__(num_labels, embedding_dim)
        self.temperature, self.distance, self.normalize = temperature, distance, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over anchors that have both: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        logits = distances.between(self.distance, images, others) / -self.temperature  # (B, Q)
        own = (logits * positive).sum(-1) / positive.sum(-1).clamp_min(1)  # (B,)
        surprise = pairwise.logsumexp(logits, positive | negative) - own  # (B,)
        return pairwise.mean(surprise, positive.any(-1) & negative.any(-1))


def definition(loss: Supcon, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 2 with loops."""
    x = F.normalize(embeddings)
    values = []
    for i in range(len(x)):
        terms = {
            j: torch.exp(-distances.of_pair(loss.distance, x[i], x[j]) / loss.temperature)
            for j in range(len(x))
            if j != i
        }
        own = [j for j in terms if labels[j] == labels[i]]
        if own and len(own) < len(terms):
            total = torch.stack(list(terms.values())).sum()
            values.append(-torch.stack([torch.log(terms[p] / total) for p in own]).mean())
    return torch.stack(values).mean() if values else embeddings.sum() * 0
