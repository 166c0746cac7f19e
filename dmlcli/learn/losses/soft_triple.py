"""Several centres for each product, softly assigned, in a softmax with a margin.

Formula: S_c = sum over k of softmax_k(s_ck / gamma) s_ck; cross entropy of la (S_c - margin [c = y])
    + tau * sum over c and k < l of sqrt(2 + 1e-5 - 2 w_k . w_l) / (C K (K - 1))
Use: products that look different from different sides; no sampler. Take fewer centres where products are many.
Published: BN-Inception 512: CUB 65.4, Cars 84.5, SOP 78.3 (paper†)
Source: Qian et al., SoftTriple Loss: Deep Metric Learning Without Triplet Sampling, ICCV 2019, equations 9 and 12.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.learn.losses import pairs, proxies


class SoftTriple(nn.Module):
    """The last term lets centres that are not needed merge.

    Settings:
        num_centers: centres of each label (K)
        la: scale of the similarities (lambda)
        gamma: softness of the assignment to centres
        tau: weight of the term that merges centres
        margin: by how much the own similarity must be ahead
        normalize: scale embeddings and centres to unit length first
    Parameters:
        centers: (C, K, D)
    """

    family: ClassVar[str] = "proxy"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 100.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        num_centers: int = 10,
        la: float = 20.0,
        gamma: float = 0.1,
        tau: float = 0.2,
        margin: float = 0.01,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.la, self.gamma, self.tau, self.margin, self.normalize = la, gamma, tau, margin, normalize
        self.centers = proxies.start(num_labels, num_centers, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Mean over images plus the merging term: (B, D), (B,) -> scalar >= 0."""
        images = pairs.prepare(embeddings, normalize=self.normalize)
        centers = pairs.prepare(self.centers, normalize=self.normalize)  # (C, K, D)

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            sharp = pairs.similarity(images / self.gamma, centers.flatten(0, 1)).view(
                -1, *centers.shape[:2]
            )  # (B, C, K)
            relaxed = self.gamma * (sharp.softmax(-1) * sharp).sum(-1)  # (B, C)
            margin = self.margin * F.one_hot(labels, len(centers))  # (B, C)
            return F.cross_entropy(self.la * (relaxed - margin), labels, reduction="none")

        mean = proxies.by_slices(surprise, images, labels, centers.shape[0] * centers.shape[1]).mean()
        return mean + self.tau * self._spread(centers) if self.tau else mean

    def _spread(self, centers: Tensor) -> Tensor:
        """Mean distance between the centres (C, K, D) of one label, halved: 0 when all of them have merged."""
        count, k, _ = centers.shape
        with torch.autocast(centers.device.type, enabled=False):
            dots = centers @ centers.mT  # (C, K, K)
        first, second = torch.triu_indices(k, k, offset=1)
        distance = (2 + 1e-5 - 2 * dots[:, first, second]).sqrt()  # (C, K (K - 1) / 2)
        return distance.sum() / max(count * k * (k - 1), 1)


def definition(loss: SoftTriple, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 9 and 12 with loops."""
    x, centers = F.normalize(embeddings), F.normalize(loss.centers, dim=-1)
    count, k, _ = centers.shape
    total = embeddings.sum() * 0
    for image, y in zip(x, labels.tolist(), strict=True):
        logits = []
        for c in range(count):
            s = torch.stack([image @ center for center in centers[c]])
            weights = torch.exp(s / loss.gamma) / torch.exp(s / loss.gamma).sum()
            logits.append(loss.la * ((weights * s).sum() - loss.margin * (c == y)))
        terms = torch.exp(torch.stack(logits))
        total = total - torch.log(terms[y] / terms.sum()) / len(x)
    for c in range(count):
        for a in range(k):
            for b in range(a):
                spread = torch.sqrt(2 + 1e-5 - 2 * centers[c, a] @ centers[c, b])
                total = total + loss.tau * spread / (count * k * (k - 1))
    return total
