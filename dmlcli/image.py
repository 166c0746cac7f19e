"""From the bytes of an image file to (3, H, W) float32: the same pixels in train, embed and query.

The only file that knows Pillow, but for the contact sheet. JPEGs much larger than needed are decoded at a reduced
scale, never below twice the size they are shrunk to.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dmlcli.errors import ImageError

Pixels = NDArray[np.float32]

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"P5",
    b"P6",
    b"\x00\x00\x01\x00",
)
SNIFF_LENGTH = 16  # bytes that `is_image` wants to see


@dataclass(frozen=True)
class ImageSettings:
    """How a model wants its images; it travels inside the model, so nobody can pair weights with the wrong pixels."""

    resize: int = 256  # pixels, short side of the whole image
    crop: int = 224  # pixels, side of the centre square that is kept
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in [0, 1]: ImageNet's
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)


def is_image(header: bytes) -> bool:
    """Whether the first bytes of a file are those of an image format, whatever the file is called."""
    return (
        header.startswith(_SIGNATURES)
        or (header[:4] == b"RIFF" and header[8:12] == b"WEBP")
        or (header[4:8] == b"ftyp" and header[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1"))
    )


def open_image(data: bytes, at_least: int = 0) -> Image.Image:
    """Decode to upright RGB, transparency on white.

    Args:
        data: the bytes of an image file.
        at_least: pixels; a JPEG may be decoded smaller as long as its short side keeps this length. 0: full size.

    Errors: ImageError with the reason.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        if at_least:
            image.draft(None, (at_least, at_least))
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders fail in many ways; whatever it is, this image cannot be read
        reason = str(error).replace("<_io.BytesIO object at ", "<") if data else "the file is empty"
        if isinstance(error, UnidentifiedImageError) and data:
            reason = "not an image in a format known here"
        raise ImageError(reason or type(error).__name__) from error


def view(data: bytes, settings: ImageSettings) -> Pixels:
    """The centre of an image as a model sees it: (3, crop, crop) float32, normalised."""
    image = open_image(data, at_least=2 * settings.resize)
    width, height = image.size
    side = settings.crop * min(width, height) / settings.resize  # of the kept square, in pixels of the source
    left, top = (width - side) / 2, (height - side) / 2
    return square(image, (left, top, left + side, top + side), settings)


def cut(data: bytes, box: tuple[tuple[float, bool], ...]) -> bytes:
    """A part of an upright photo, as an image file of its own, lossless.

    Args:
        box: left, top, width, height, each with whether it is in per cent of the photo's side, else in pixels.

    Errors: ImageError where nothing of the photo lies inside.
    """
    image = open_image(data)
    sides = image.size * 2
    left, top, width, height = (n * side / 100 if share else n for (n, share), side in zip(box, sides, strict=True))
    edges = (round(left), round(top), min(round(left + width), image.width), min(round(top + height), image.height))
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise ImageError(f"the crop lies outside of the photo, which is {image.width} x {image.height}")
    stream = io.BytesIO()
    image.crop(edges).save(stream, "PPM")
    return stream.getvalue()


def square(image: Image.Image, box: tuple[float, float, float, float], settings: ImageSettings) -> Pixels:
    """The part of an RGB image inside `box` (left, top, right, bottom; pixels), resized and normalised."""
    left, top, right, bottom = box
    box = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    resized = image.resize((settings.crop, settings.crop), _FILTERS[settings.interpolation], box=box)
    return normalise(np.asarray(resized, dtype=np.float32), settings)


def normalise(rgb: Pixels, settings: ImageSettings) -> Pixels:
    """(H, W, 3) in [0, 255] to (3, H, W) with the model's mean and deviation."""
    scale = np.float32(1 / 255) / np.asarray(settings.deviation, dtype=np.float32)
    shift = np.asarray(settings.mean, dtype=np.float32) / np.asarray(settings.deviation, dtype=np.float32)
    return np.ascontiguousarray((rgb * scale - shift).transpose(2, 0, 1), dtype=np.float32)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel; plain conversion would clip instead of scale
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
