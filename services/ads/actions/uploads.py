"""An uploaded form with an image becomes a creative; both doors take it here."""

from typing import Any
from uuid import UUID

from litestar.datastructures import UploadFile
from msgspec import Struct

from services.ads.actions.creatives import add_creative
from services.ads.actions.images import cleaned
from services.ads.queries.orders import CreativeView
from shared.db import Tx
from shared.errors import BadInput
from shared.files import Files
from shared.settings import Settings


class Upload(Struct, frozen=True):
    """An image and where a click on it leads, as multipart form data."""

    file: bytes
    click_url: str


async def take_creative(tx: Tx, files: Files, settings: Settings, order: UUID, form: Any) -> CreativeView:
    """Raises BadInput without the fields `file` and `click_url`, and what `add_creative` raises."""
    file, click_url = form.get("file"), form.get("click_url")
    if not isinstance(file, UploadFile) or not isinstance(click_url, str):
        raise BadInput("Send multipart/form-data with the fields `file` and `click_url`.", field="file")
    image = await cleaned(await file.read())
    return await add_creative(tx, files, settings, order, image, click_url.strip())
