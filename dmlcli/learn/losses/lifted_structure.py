"""Each positive pair against all negatives of both its images at once.

Formula: original: mean over positive pairs (i, j) of max(0, ln(sum over negatives n of i and of j of
    exp(margin - d_n)) + d_ij)^2 / 2
    smooth: mean over anchors of max(0, ln(sum over P of exp(d)) + ln(sum over N of exp(margin - d)))
    cosine: 2 / beta ln(sum over P of exp(-beta s)) + 2 / alpha ln(sum over N of exp(alpha s))
Use: batches with many products; the smooth form for its simple gradient, the original for the paper's numbers.
Published: GoogLeNet 64 (SOP 512), original: CUB 43.6, Cars 53.0, SOP 62.5 (Song 2017†)
Compared: pytorch-metric-learning equal, smooth differs for images without positives: it keeps their negatives;
    ronekko/deep_metric_learning equal (original); bnu-wangxun/Deep_Metric equal (cosine), infinite without positives
Source: Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016, equation 4 (original);
    Hermans et al., In Defense of the Triplet Loss, 2017, equation 7 (smooth).
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import distances, pairwise
from dmlcli.learn.losses.distances import Distance
from dmlcli.learn.losses.interface import Loss, check_above


class LiftedStructure(Loss):
    """Soft maxima over distances (not squared), or over similarities in the cosine form, which can be negative.

    Settings:
        form: original (the paper's pairs), smooth (one soft triplet an anchor) or cosine (the same without a hinge)
        distance: of the smooth and original forms
        margin: how much farther than positives the negatives shall be; not used by the cosine form
        alpha: cosine form: sharpness of the maximum over negatives
        beta: cosine form: sharpness of the maximum over positives
        normalize: scale embeddings to unit length first; left out, only the original form takes them raw
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True  # not the original form: its pairs need the negatives of both images
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        form: Literal["original", "smooth", "cosine"] = "smooth",
        distance: Distance = "euclidean",
        margin: float = 1.0,
        alpha: float = 40.0,
        beta: float = 2.0,
        normalize: bool | None = None,
    ) -> None:
        if form == "cosine" and distance != "euclidean":
            raise ValueError("form cosine has its own similarity: use it without distance")
        check_above(0, alpha=alpha, beta=beta)
        super().__init__(num_labels, embedding_dim)
        self.form, self.distance, self.margin, self.alpha, self.beta = form, distance, margin, alpha, beta
        self.normalize = form != "original" if normalize is None else normalize
        self.takes_references = form != "original"  # type: ignore[misc]  # a class variable elsewhere

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over positive pairs (original) or over anchors: (B, D), (B,), [(Q, D), (Q,)] -> scalar."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        columns, real = pairwise.compact(positive)  # (B, K)
        valid = positive.any(-1) & negative.any(-1)  # (B,)
        if self.form == "cosine":
            similarity = pairwise.similarity(images, others)  # (B, Q)
            pull = pairwise.logsumexp(-self.beta * similarity.gather(1, columns), real) / self.beta  # (B,)
            push = pairwise.logsumexp(self.alpha * similarity, negative) / self.alpha  # (B,)
            return pairwise.mean(2 * (pull + push), valid)
        distance = distances.between(self.distance, images, others)  # (B, Q)
        push = pairwise.logsumexp(self.margin - distance, negative)  # (B,)
        apart = distance.gather(1, columns)  # (B, K)
        if self.form == "smooth":
            return pairwise.mean(F.relu(pairwise.logsumexp(apart, real) + push), valid)
        violation = torch.logaddexp(push[:, None], push[columns]) + apart  # (B, K)
        return pairwise.mean(F.relu(violation).square() / 2, real)


def definition(loss: LiftedStructure, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute each form as printed."""
    x = F.normalize(embeddings) if loss.normalize else embeddings
    rows = range(len(x))
    positives = {i: [j for j in rows if j != i and labels[j] == labels[i]] for i in rows}
    negatives = {i: [j for j in rows if labels[j] != labels[i]] for i in rows}
    values = []

    def distance(i: int, j: int) -> Tensor:
        return distances.of_pair(loss.distance, x[i], x[j])

    if loss.form == "original":
        for i in rows:
            for j in positives[i]:
                if i < j and negatives[i]:
                    terms = [torch.exp(loss.margin - distance(k, n)) for k in (i, j) for n in negatives[k]]
                    values.append(F.relu(torch.stack(terms).sum().log() + distance(i, j)) ** 2 / 2)
    for i in rows if loss.form != "original" else []:
        if not positives[i] or not negatives[i]:
            continue
        if loss.form == "smooth":
            pull = torch.stack([torch.exp(distance(i, p)) for p in positives[i]]).sum().log()
            push = torch.stack([torch.exp(loss.margin - distance(i, n)) for n in negatives[i]]).sum().log()
            values.append(F.relu(pull + push))
        else:
            pull = torch.stack([torch.exp(-loss.beta * x[i] @ x[p]) for p in positives[i]]).sum().log()
            push = torch.stack([torch.exp(loss.alpha * x[i] @ x[n]) for n in negatives[i]]).sum().log()
            values.append(2 / loss.beta * pull + 2 / loss.alpha * push)
    return torch.stack(values).mean() if values else embeddings.sum() * 0
