"""The maps that a backbone pools into its features: outputs of the inference graph beside the embeddings.

`search/pooled_maps.py` pools them again, over the whole image or a part of it, without torch.
"""

from torch import Tensor, nn

from dmlcli.feature_maps import COARSE, EARLIER, FINE, LAST
from dmlcli.learn.networks.backbone import Chain, TwoPools, WithDescriptor
from dmlcli.learn.networks.descriptor import Descriptor
from dmlcli.learn.networks.network import Network

Maps = dict[str, Tensor]  # (B, C, h, w) by the name of the output


class WithMaps(nn.Module):
    """A network that also gives its maps: images (B, 3, H, W) -> unit (B, D), then the maps (V B, C, h, w) by name."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.names = list(map_names(network.backbone))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the embeddings, and the maps of all views in the order of `names`."""
        features, maps = pooled(self.network.backbone, self.network.views(images))
        unit = nn.functional.normalize(features.float(), dim=-1)
        return (self.network.embeddings(unit), *(maps[name] for name in self.names))


def map_names(backbone: nn.Module) -> tuple[str, ...]:
    """Return the names of the maps that make up the features of a backbone; none where they are not pooled maps."""
    if isinstance(backbone, Descriptor):
        return COARSE, FINE
    if isinstance(backbone, TwoPools):
        return map_names(backbone.trunk)
    if isinstance(backbone, WithDescriptor):
        inner = map_names(backbone.trunk)
        return (*inner, COARSE, FINE) if inner else ()
    if isinstance(backbone, Chain):
        return LAST, EARLIER
    return ()


def pooled(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Maps]:
    """Return what a backbone gives for images (B, 3, H, W): features (B, F), and the maps that they are pooled from."""
    if isinstance(backbone, Descriptor):
        coarse, fine = backbone.neighborhoods(images)
        return backbone.described(coarse, fine), {COARSE: coarse, FINE: fine}
    if isinstance(backbone, TwoPools):
        rows, maps = pooled(backbone.trunk, images)
        return backbone.side_by_side(rows), maps
    if isinstance(backbone, WithDescriptor):
        features, maps = pooled(backbone.trunk, images)
        described, more = pooled(backbone.descriptor, backbone.pixels(images))
        return backbone.joined(features, described), maps | more
    if isinstance(backbone, Chain):
        earlier = backbone.forward_stem(images)
        last = backbone.last_map(earlier)
        return backbone.forward_pools(earlier, last), {LAST: last, EARLIER: earlier}
    return backbone(images), {}
