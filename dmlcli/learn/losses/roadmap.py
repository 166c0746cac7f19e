"""An upper bound of the loss in average precision, plus a calibration of the similarities over all queries.

Formula: (1 - lam) (1 - mean over anchors and their positives p of r+ / (r+ + r-)) + lam * (mean over positives with
    s < pos_margin of pos_margin - s + mean over negatives with s > neg_margin of s - neg_margin);
    r+ = number of positives at or before p, a constant; r- = sum over N of H(s_n - s_p),
    H(t) = sigmoid(t / T) for t <= 0, sigmoid(t / T) + 1/2 up to delta, rho (t - delta) + H(delta) beyond
Use: a ranking loss whose gradient does not vanish for negatives far ahead; lam=0 is SupAP alone.
Published: ResNet-50 512: CUB 68.5, SOP 83.1 (paper†)
Compared: elias-ramzi/ROADMAP differs (read, not run): its first version jumps by 4.9 beyond delta, that of
    elias-ramzi/SupRank has this formula, both add the parts with weight 1
Source: Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, NeurIPS 2021; defaults as in the
    authors' code.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss, check_above, check_at_least, check_between


class Roadmap(Loss):
    """SupAP counts positives exactly and negatives from above, so that it is never less than the true loss.

    Settings:
        lam: weight of the calibration; the rest is that of SupAP
        temperature: width of the sigmoid
        rho: slope for negatives that are ahead by more than delta
        delta: how far ahead the sigmoid ends
        pos_margin: positives more similar than this are calibrated
        neg_margin: negatives less similar than this are calibrated
        include_self: count the anchor as its own first hit, as the authors' code does
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "ranking"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        lam: float = 0.5,
        temperature: float = 0.01,
        rho: float = 100.0,
        delta: float = 0.05,
        pos_margin: float = 0.9,
        neg_margin: float = 0.6,
        include_self: bool = True,
        normalize: bool = True,
    ) -> None:
        check_above(0, temperature=temperature)
        check_at_least(0, delta=delta)
        check_between(0, 1, lam=lam)
        super().__init__(num_labels, embedding_dim)
        self.lam, self.temperature, self.rho, self.delta = lam, temperature, rho, delta
        self.pos_margin, self.neg_margin = pos_margin, neg_margin
        self.include_self, self.normalize = include_self, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over anchors that have positives, plus the calibration: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        positive, negative = pairwise.masks(labels)
        similarity = pairwise.similarity(images, images)  # (B, B)
        calibration = self._calibration(similarity, positive, negative)
        return (1 - self.lam) * self._sup_ap(similarity, positive, negative) + self.lam * calibration

    def _calibration(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return how far the similarities (B, B) on the wrong side of their margins are from them: a scalar >= 0."""
        columns, real = pairwise.compact(positive)  # (B, K)
        close = similarity.gather(1, columns)  # (B, K)
        pull = pairwise.mean(self.pos_margin - close, real & (close < self.pos_margin))
        return pull + pairwise.mean(similarity - self.neg_margin, negative & (similarity > self.neg_margin))

    def _sup_ap(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return SupAP of similarities (B, B): a scalar in [0, 1]."""
        columns, real = pairwise.compact(~negative if self.include_self else positive)  # (B, K)
        values = similarity.gather(1, columns).masked_fill(~real, pairwise.EMPTY)  # (B, K)
        ordered = values.detach().sort(-1).values
        rank_of_hits = values.shape[1] - torch.searchsorted(ordered, values.detach())  # (B, K): how many are >= each
        rivals = similarity.masked_fill(~negative, pairwise.EMPTY)  # (B, B)
        # one positive of each anchor at a time, recomputed in the backward pass: memory B x B, whatever K is
        ahead = [checkpoint(self._count_ahead, rivals, value, use_reentrant=False) for value in values.unbind(-1)]
        precision = rank_of_hits / (rank_of_hits + torch.stack(ahead, dim=-1))  # (B, K)
        average = torch.where(real, precision, 0.0).sum(-1) / real.sum(-1).clamp_min(1)  # (B,)
        return pairwise.mean(1 - average, positive.any(-1))

    def _count_ahead(self, rivals: Tensor, value: Tensor) -> Tensor:
        """Return the upper bound (B,) of the number of rivals (B, Q) that are ahead of a value (B,)."""
        gap = rivals - value[:, None]
        count = torch.sigmoid(gap.clamp_max(self.delta) / self.temperature) + self.rho * F.relu(gap - self.delta)
        return (count + 0.5 * (gap > 0)).sum(-1)


def definition(loss: Roadmap, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula with loops."""
    x = F.normalize(embeddings)
    rows = range(len(x))
    hinges: dict[bool, list[Tensor]] = {True: [], False: []}
    losses = []
    for i in rows:
        s = x @ x[i]
        for j in rows:
            same = bool(labels[i] == labels[j])
            gap = loss.pos_margin - s[j] if same else s[j] - loss.neg_margin
            if i != j and gap > 0:
                hinges[same].append(gap)
        hits = [j for j in rows if labels[j] == labels[i] and (j != i or loss.include_self)]
        if not set(hits) - {i}:
            continue
        precisions = []
        for p in hits:
            ahead = embeddings.sum() * 0
            for gap in (s[n] - s[p] for n in rows if labels[n] != labels[i]):
                if gap > loss.delta:
                    bound = torch.sigmoid(torch.tensor(loss.delta / loss.temperature, dtype=x.dtype))
                    ahead = ahead + loss.rho * (gap - loss.delta) + bound + 0.5
                else:
                    ahead = ahead + torch.sigmoid(gap / loss.temperature) + (0.5 if gap > 0 else 0)
            rank = sum(bool(s[q] >= s[p]) for q in hits)
            precisions.append(rank / (rank + ahead))
        losses.append(1 - torch.stack(precisions).mean())
    total = (1 - loss.lam) * torch.stack(losses).mean() if losses else embeddings.sum() * 0
    return sum((loss.lam * torch.stack(values).mean() for values in hinges.values() if values), total)
