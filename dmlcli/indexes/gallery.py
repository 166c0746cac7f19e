"""The one interface to what is searched in, wherever it lies: a folder on this disk, or a collection on a cluster.

Two halves: the vectors, and what the item table says of them. `index.Index` and `search.item_lookup.Items` are the
halves for a folder, `milvus.Collection` is both for a collection. The query engine uses nothing else of an
index.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dmlcli.types import Box, Ids, Vectors

if TYPE_CHECKING:
    from dmlcli.catalog import Photo

PLAIN, SECURE = "milvus:", "milvuss:"  # how the address of a collection begins; over TLS


def is_address(place: Path | str) -> bool:
    """Whether this names a collection, not a folder."""
    return str(place).startswith((PLAIN, SECURE))


class Found(NamedTuple):
    """One row of the item table that came up, with its score."""

    id: int
    score: float
    product: str
    path: str  # relative to the root
    root: Path

    @property
    def image(self) -> Path:
        """Where the image lies."""
        return self.root / self.path


class ItemDetails(NamedTuple):
    """What an item table says of an image beside its product and its path."""

    category: str
    columns: dict[str, Any]  # the user's own
    box: Box | None  # the part of its file that the image is; None: all of it


class Among(Protocol):
    """What a filter left, in the form that its own gallery understands; its length is how many images that are."""

    def __len__(self) -> int: ...


class Gallery(Protocol):
    """What is searched in."""

    @property
    def place(self) -> str:
        """Where it lies, as it is named to a person."""

    @property
    def root(self) -> Path:
        """What the paths of its images are relative to."""

    @property
    def model(self) -> str:
        """The fingerprint of the model that made it, "" for embeddings of another tool."""

    @property
    def model_folder(self) -> Path | None:
        """Where that model lay."""

    @property
    def images(self) -> int:
        """How many images can be found."""

    @property
    def most(self) -> int:
        """How many hits one search can give."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def kind(self) -> str:
        """What kind of index it is."""

    @property
    def stamp(self) -> bytes:
        """Something that changes whenever the gallery does."""

    def has_changed(self) -> bool:
        """Whether it would be another one if it were opened now; False while it is being replaced."""

    def search(self, vectors: Vectors, k: int, *, among: Any = None) -> list[list[Found]]:
        """Return the k images closest to each vector, best first.

        Args:
            vectors: (Q, D), unit length.
            k: number of images.
            among: what `where` of the same gallery returned; None: all images.
        """

    def vectors(self, ids: Sequence[int] | Ids) -> Vectors:
        """The unit vectors (n, D) of these ids; raises KeyError for one that is not there."""

    def kept(self) -> dict[str, Any] | None:
        """What `keep` was given last, None where there is nothing."""

    def keep(self, note: dict[str, Any]) -> None:
        """Keep a small note beside the gallery, where it may be written to; else nothing is kept."""


class ItemTable(Protocol):
    """What is known of each image of a gallery."""

    def where(self, expression: str) -> Any:
        """The images for which an SQL expression is true, as `Among`; raises UsageError where it is none."""

    def details(self, ids: Sequence[int]) -> list[ItemDetails]:
        """The details of items, in the order of the ids."""

    def columns(self) -> dict[str, int]:
        """The user's own columns, in order, with the decimals that all numbers of a column have; 0: no such number."""

    def values(self, column: str, most: int) -> list[Any]:
        """The different values of a column, ascending, without empty ones; [] where there are more than `most`."""

    def ends(self, column: str) -> tuple[float, float] | None:
        """The least and the greatest number of a column; None for text."""

    def photo(self, number: int) -> "Photo":
        """The image file of an item, and the part of it that it is; raises KeyError for an id that is not there."""

    def product(self, number: int) -> str:
        """The product of an item, "" where it is not known; raises KeyError for an id that is not there."""

    def of_product(self, product: str, among: Any = None) -> Ids:
        """The ids of the images of a product, of those that a filter left; none where it is not known."""

    def of_products(self, products: Sequence[str], among: Any = None) -> list[Ids]:
        """The ids of the images of each product, as `of_product` returns them."""

    def at_path(self, asked: str, is_file: bool) -> Ids:
        """The ids of the images at a path: of a file that exists here, else also of a path as it was indexed."""

    def named(self, asked: str) -> "tuple[Ids, Photo]":
        """The images that --like means: those of a product, or those at a path, and one of them to be shown."""

    def usual_images(self) -> float:
        """The median number of images of a product; 0 where there are no products."""

    def products(self) -> tuple[Ids, list[str]]:
        """Every id, ascending, with its product."""
