"""From the bytes of an image file to (3, H, W) float32: the same pixels in train, embed and query.

image_files   which files are opened at all, and what their first bytes say
archives      pictures inside tar files, here or far away; the only file that knows tar files and fsspec
limits        how large an image may be: pixels, bytes of its file, bytes of memory; how much is decoded at once
decode        bytes -> upright RGB, or the reason why not: JPEGs by simplejpeg, all else by Pillow (pillow)
jpeg, png, gif, libtiff   what these formats need to be known of before or beside decoding
resample      the one way of shrinking, in memory that is used again (scratch)
view          what a model sees: crop, shrink, normalize
"""

from dmlcli.image.decode import Picture, cropped, cut, encoded, open_image
from dmlcli.image.image_files import (
    SNIFF_LENGTH,
    SUFFIXES,
    UNREAD_SUFFIXES,
    is_image,
    is_there,
    read_file,
    read_stream,
    status_of,
)
from dmlcli.image.limits import allow_pixels
from dmlcli.image.view import ImageSettings, kept_box, normalize, square, view
from dmlcli.types import Box, Pixels

__all__ = [
    "SNIFF_LENGTH",
    "SUFFIXES",
    "UNREAD_SUFFIXES",
    "Box",
    "ImageSettings",
    "Picture",
    "Pixels",
    "allow_pixels",
    "cropped",
    "cut",
    "encoded",
    "is_image",
    "is_there",
    "kept_box",
    "normalize",
    "open_image",
    "read_file",
    "read_stream",
    "square",
    "status_of",
    "view",
]
