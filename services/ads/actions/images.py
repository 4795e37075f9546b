"""Advertisers' images: read by what they are, never by their name, and drawn anew so that only pixels stay."""

import asyncio
from io import BytesIO

import msgspec
from PIL import Image, UnidentifiedImageError

from shared.errors import Refused
from shared.files import Files
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


@outside
async def keep_image(files: Files, content: bytes) -> Picture:
    """Re-encode an image and keep it. Raises NotAnImage, ImageTooLarge.

    The file is there before the row that names it. Where no row follows, a file stays that nobody names; it has the
    name of its content, so that it is never mistaken for another and the same image finds it again.
    """
    if len(content) > MAX_BYTES:
        raise ImageTooLarge(f"The image has more than {MAX_BYTES // 1024 // 1024} MB.", field="file")
    redrawn, media_type, width, height = await asyncio.to_thread(_redrawn, content)
    return Picture(await files.put(redrawn), media_type, width, height)


def _redrawn(content: bytes) -> tuple[bytes, str, int, int]:
    """(content, media type, width, height) of an image drawn anew."""
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
    return out.getvalue(), "image/jpeg" if photo else "image/png", width, height
