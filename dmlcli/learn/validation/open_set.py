"""How similar photos of unseen products are to the trained ones: the lower bound of a threshold for "no match".

A model separates the images that it was fitted on better than others, so a threshold from the index alone would be too
low. The folds hold out whole products; their photos are searched among the images that were fitted on, as a photo
of an unseen product will be.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.validation.training_data import Fold

REJECT_RATE = 0.95  # share of the photos of unknown products that stay below the threshold
_MOST = 400  # photos of unseen products; more would take longer and say the same


class OpenSetThreshold:
    """The photos of unseen products of one fold, and what they are searched among; false where there are none."""

    def __init__(self, fold: Fold) -> None:
        positions = fold.validation.searches.positions("unseen") if "unseen" in fold.validation.searches.names else []
        self.positions = positions[:: -(-len(positions) // _MOST)] if positions else []  # among what validates
        views = fold.train.features  # the second one is the mirror image
        self.gallery = F.normalize(views[:2].sum(0), dim=-1) if len(views) > 1 else views[0]  # (N, F)

    def __bool__(self) -> bool:
        return bool(self.positions)

    def threshold(self, validated: Tensor, gallery: Tensor) -> float:
        """Return the cosine that 95 % of the photos stay below.

        Args:
            validated: (len(validation.rows), D) embeddings of all that validates.
            gallery: (N, D) of `self.gallery`.
        """
        return torch.quantile((validated[self.positions] @ gallery.T).amax(1), REJECT_RATE).item()

    @torch.no_grad()
    def threshold_of(self, head: BlendHead, fold: Fold) -> float:
        """Return the same for a head."""
        return self.threshold(head(fold.validation.features), head(self.gallery))
