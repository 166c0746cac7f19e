"""The network: backbone, pooled features, head, unit embeddings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.errors import ModelError
from dmlcli.image import ImageSettings
from dmlcli.learn.networks.backbone import empty_backbone, feature_dim
from dmlcli.learn.networks.heads import BlendHead, Head, IdentityHead, build_head
from dmlcli.model import Model

_PER_THREAD = (
    4  # images whose maps stay in the caches of a CPU: on two cores, MobileNetV2 trains 1.7 times as fast as with 64
)


class Network(nn.Module):
    """The whole path from pixels to vector; heads see features of unit length.

    With `mirror` every image is seen as it is and mirrored, and the features of the two are averaged.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        image: ImageSettings,
        *,
        pooling: str | None = None,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.image = backbone, head, image
        self.pooling, self.mirror = pooling, mirror

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> unit (B, D)."""
        return self.embeddings(self.features_of_view(self.views(images)))

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> unit (B, F)."""
        return self._together(self.features_of_view(self.views(images)))

    def views(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (V B, 3, H, W): the images as they are, and mirrored where the network wants to see that."""
        return torch.cat([images, images.flip(-1)]) if self.mirror else images

    def features_of_view(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> unit (B, F), of the images as they are, mirrored or not.

        A CPU sees a few images at a time, unless batch norm looks at whole batches.
        """
        few = images.device.type == "cpu" and not self.backbone.training
        parts = torch.split(images, _PER_THREAD * torch.get_num_threads()) if few else (images,)
        return F.normalize(torch.cat([self.backbone(part) for part in parts]).float(), dim=-1)

    def embeddings(self, features: Tensor) -> Tensor:
        """Return unit features (V B, F) of all views -> unit (B, D)."""
        embeddings: Tensor = self.head(self._together(features))
        return embeddings

    def _together(self, features: Tensor) -> Tensor:
        """Return unit features (V B, F) of all views -> unit (B, F)."""
        if not self.mirror:
            return features
        return F.normalize(features.view(2, -1, features.shape[-1]).sum(0), dim=-1)

    def headless(self) -> "Network":
        """Return the same backbone with a head that gives its features."""
        dim = self.head.whitened.in_features if isinstance(self.head, BlendHead) else self.head.dim
        return Network(self.backbone, IdentityHead(dim), self.image, pooling=self.pooling, mirror=self.mirror)


def open_network(model: Model) -> Network:
    """Return the network of a saved model, in evaluation mode; raises ModelError where its weights do not fit."""
    record = model.record
    backbone = empty_backbone(record.backbone, record.pooling)
    try:
        head = build_head(feature_dim(backbone, record.image), record.head)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the head of {model.folder} is damaged: {error!r}", hint="train it again") from error
    network = Network(backbone, head, record.image, pooling=record.pooling, mirror=record.mirror)
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in model.weights().items()})
    except RuntimeError as error:
        raise ModelError(f"the weights of {model.folder} do not fit its recipe", hint="train it again") from error
    return network.eval()
