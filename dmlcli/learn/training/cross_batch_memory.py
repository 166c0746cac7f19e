"""Cross-batch memory: the embeddings of past batches, to compare each new batch with thousands more.

`--memory 8192` or `--memory 8192:start=500`. Embeddings drift slowly once training is under way, so that old ones are
still good references; they take no gradient.

Source: Wang et al., Cross-Batch Memory for Embedding Learning, CVPR 2020, algorithm 1.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dmlcli.errors import UsageError
from dmlcli.learn import losses


class Memory(nn.Module):
    """A loss that adds to `loss` of the batch that of the batch against the memory, and then remembers the batch.

    The remembered embeddings are part of its state, so a resumed run compares with the same ones.
    """

    family: ClassVar[str] = "memory"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0  # it has no parameters itself

    def __init__(
        self, loss: nn.Module, embedding_dim: int, *, size: int = 8192, start: int = 1000, weight: float = 1.0
    ) -> None:
        super().__init__()
        _check_takes_references(loss)
        self.loss, self.size, self.start, self.weight = loss, size, start, weight
        self.sampler = str(loss.sampler)
        self.seen = 0  # batches
        self.filled = 0
        self._next = 0  # where the next embedding goes
        self.register_buffer("embeddings", torch.zeros(size, embedding_dim))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.long))
        self.embeddings: Tensor
        self.labels: Tensor

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """loss(batch) + weight * loss(batch, memory): (B, D), (B,) -> scalar."""
        value: Tensor = self.loss(embeddings, labels)
        if self.filled and self.seen >= self.start:  # before the batch is remembered: nothing meets its own copy
            past = self.embeddings[: self.filled], self.labels[: self.filled]
            value = value + self.weight * self.loss(embeddings, labels, *past)
        if self.training:
            self.remember(embeddings, labels)
        return value

    def get_extra_state(self) -> dict[str, int]:
        """Return where the next embedding goes, as `state_dict` saves it."""
        return {"seen": self.seen, "filled": self.filled, "next": self._next}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take it up again; raises ValueError where it is of a memory of another size."""
        self.seen, self.filled, self._next = state["seen"], state["filled"], state["next"]
        if not 0 <= self.filled <= self.size or not 0 <= self._next < self.size:
            raise ValueError(f"the memory holds {self.filled} embeddings, but its size is {self.size}")

    @torch.no_grad()
    def remember(self, embeddings: Tensor, labels: Tensor) -> None:
        """Put a batch (B, D), (B,) in the place of the oldest; of a batch larger than the memory its last `size`."""
        embeddings, labels = embeddings[-self.size :], labels[-self.size :]
        places = (torch.arange(len(labels), device=labels.device) + self._next) % self.size
        self.embeddings[places] = embeddings.to(self.embeddings.dtype)
        self.labels[places] = labels
        self._next = (self._next + len(labels)) % self.size
        self.filled = min(self.filled + len(labels), self.size)
        self.seen += 1


def _check_takes_references(loss: nn.Module) -> None:
    terms: list[Any] = list(getattr(loss, "losses", [loss]))
    for term in terms:
        term = getattr(term, "loss", term)  # of a loss with a miner, the loss itself
        if not term.takes_references:
            name = type(term).__module__.rpartition(".")[2].replace("_", "-")
            able = ", ".join(name for name in losses.names() if losses.describe(name).takes_references)
            how = f" with form={term.form}" if losses.describe(name).takes_references else ""
            raise UsageError(f"loss {name}{how} cannot be used with a memory", hint=f"these can: {able}")
