"""Each positive pair alone against all negatives of its anchor; also known as InfoNCE.

Formula: mean over positive pairs of -ln(exp(s_p / T) / (exp(s_p / T) + sum over N of exp(s_n / T)))
Use: like supcon, but positives do not compete with each other; a good partner for --memory.
Compared: pytorch-metric-learning equal
Source: Sohn, NeurIPS 2016; Chen et al., A Simple Framework for Contrastive Learning, ICML 2020, equation 1.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import distances, pairwise
from dmlcli.learn.losses.distances import Distance
from dmlcli.learn.losses.interface import Loss, check_above


class NtXent(Loss):
    """The normalized, temperature-scaled cross entropy, with labels.

    Settings:
        temperature: sharpness of the softmax; lower looks harder at the closest negatives
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
        temperature: float = 0.07,
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
        """Return the mean over positive pairs: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        logits = distances.between(self.distance, images, others) / -self.temperature  # (B, Q)
        rivals = pairwise.logsumexp(logits, negative)[:, None]  # (B, 1)
        columns, real = pairwise.compact(positive)  # (B, K)
        surprise = F.softplus(rivals - logits.gather(1, columns))  # (B, K)
        return pairwise.mean(surprise, real & negative.any(-1, keepdim=True))


def definition(loss: NtXent, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula by positive pairs."""
    x = F.normalize(embeddings)
    values = []

    def similar(i: int, j: int) -> Tensor:
        return -distances.of_pair(loss.distance, x[i], x[j])

    for i in range(len(x)):
        rivals = [torch.exp(similar(i, n) / loss.temperature) for n in range(len(x)) if labels[n] != labels[i]]
        for p in range(len(x)):
            if p != i and labels[p] == labels[i] and rivals:
                own = torch.exp(similar(i, p) / loss.temperature)
                values.append(-torch.log(own / (own + torch.stack(rivals).sum())))
    return torch.stack(values).mean() if values else embeddings.sum() * 0
