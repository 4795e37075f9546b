"""An uploaded form with an image, read and kept before the transaction in which it becomes a creative."""

from typing import Any

from litestar.datastructures import UploadFile
from msgspec import Struct

from services.ads.actions.images import Picture, keep_image
from shared.errors import BadInput
from shared.files import Files


class Upload(Struct, frozen=True):
    """An image and where a click on it leads, as multipart form data."""

    file: bytes
    click_url: str


async def taken(files: Files, form: Any) -> tuple[Picture, str]:
    """The image, kept, and where a click on it is to lead; both doors take it here.

    Raises BadInput without the fields `file` and `click_url`, NotAnImage, ImageTooLarge.
    """
    file, click_url = form.get("file"), form.get("click_url")
    if not isinstance(file, UploadFile) or not isinstance(click_url, str):
        raise BadInput("Send multipart/form-data with the fields `file` and `click_url`.", field="file")
    return await keep_image(files, await file.read()), click_url.strip()
