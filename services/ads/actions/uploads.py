"""An uploaded form with an image, read before the transaction in which it becomes a creative."""

from typing import Any

from litestar.datastructures import UploadFile
from msgspec import Struct

from services.ads.actions.images import Picture, redrawn
from shared.errors import BadInput

NEEDED = "Send multipart/form-data with the fields `file` and `click_url`."


class Upload(Struct, frozen=True):
    """An image and where a click on it leads, as multipart form data."""

    file: bytes
    click_url: str


async def taken(form: Any) -> tuple[Picture, str]:
    """The image, drawn anew, and where a click on it is to lead; both doors take it here.

    Its file is kept once the creative is: what is refused, or is anybody's, would fill the disk. Whoever hears that
    it was not kept sends the same again, which finds the creative and keeps the file.

    Raises BadInput without the fields `file` and `click_url` or with others, NotAnImage, ImageTooLarge.
    """
    file, click_url = form.get("file"), form.get("click_url")
    if not isinstance(file, UploadFile):
        raise BadInput(NEEDED, field="file")
    if not isinstance(click_url, str):
        raise BadInput(NEEDED, field="click_url")
    for name in form:
        if name not in Upload.__struct_fields__ and not name.startswith("_"):
            raise BadInput(f"The form has no field {name}.", field=name)
    return await redrawn(await file.read()), click_url.strip()
