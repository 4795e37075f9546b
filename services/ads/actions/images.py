"""Advertisers' images: read by what they are, never by their name, and drawn anew so that only pixels stay."""

import asyncio
from io import BytesIO

import msgspec
from PIL import Image, UnidentifiedImageError

from shared.errors import Refused
from shared.files import name_of
from shared.outside import outside

MAX_BYTES = 2 * 1024 * 1024
MAX_PIXELS = 2_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
JPEG_QUALITY = 88


class NotAnImage(Refused, status=422):
    """The file is not a still image of a kind that we show."""


class ImageTooLarge(Refused, status=413):
    """The file has too many bytes or pixels."""


class Picture(msgspec.Struct, frozen=True):
    """An image as it is kept: the name of its file, and what the file holds."""

    file: str
    media_type: str
    width: int
    height: int
    content: bytes = b""


@outside
async def redrawn(content: bytes) -> Picture:
    """Draw an image anew. Raises NotAnImage, ImageTooLarge."""
    if len(content) > MAX_BYTES:
        raise ImageTooLarge(f"The image has more than {MAX_BYTES // 1024 // 1024} MB.", field="file")
    return await asyncio.to_thread(_redrawn, content)


def _redrawn(content: bytes) -> Picture:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageTooLarge(
                    f"The image has {width} × {height} pixels, more than any slot.", field="file"
                )
            if getattr(image, "n_frames", 1) > 1:
                raise NotAnImage("The image moves; only still images are shown.", field="file")
            photo = image.format == "JPEG"
            pixels = image.convert("RGB" if photo or not image.has_transparency_data else "RGBA")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise NotAnImage(
            "The file is not a PNG, JPEG, WebP or GIF image that can be read.", field="file"
        ) from error
    out = BytesIO()
    if photo:
        pixels.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    else:
        pixels.save(out, "PNG", optimize=True)
    kept = out.getvalue()
    return Picture(name_of(kept), "image/jpeg" if photo else "image/png", width, height, kept)
