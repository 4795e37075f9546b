"""Files by the hash of their content, per service, in a folder or in S3, handed out by signed addresses."""

import hashlib
from typing import Any

import obstore
import structlog
from obstore.store import LocalStore, from_url

from shared import links
from shared.errors import NotFound, Unavailable
from shared.outside import outside
from shared.settings import Settings


class Files:
    """A service's own store. A file's name is its SHA-256, so that a name can never come to mean other bytes."""

    def __init__(self, settings: Settings, service: str) -> None:
        self.settings = settings
        self.service = service
        self._store: Any = None

    @property
    def store(self) -> Any:
        if self._store is None:
            if self.settings.files_url:
                self._store = from_url(f"{self.settings.files_url.rstrip('/')}/{self.service}")
            else:
                folder = self.settings.home.resolve() / "files" / self.service
                self._store = LocalStore(folder, mkdir=True)
        return self._store

    @outside
    async def put(self, content: bytes) -> str:
        """Keep a file and return its name; the same content twice is kept once. Raises Unavailable."""
        name = name_of(content)
        try:
            await obstore.put_async(self.store, _path(name), content)
        except (obstore.exceptions.GenericError, OSError) as error:
            structlog.get_logger().error("a file cannot be kept", error=str(error)[:200])
            raise Unavailable("Something we need is away for a moment; try again.") from error
        return name

    @outside
    async def get(self, name: str) -> bytes:
        """Read a file. Raises NotFound, and NotFound too when the content no longer matches its name."""
        try:
            found = await obstore.get_async(self.store, _path(name))
        except FileNotFoundError as error:
            raise NotFound(f"There is no file {name[:12]}….") from error
        content = bytes(await found.bytes_async())
        if name_of(content) != name:
            raise NotFound(f"The file {name[:12]}… is damaged.")
        return content

    def signed(self, prefix: str, name: str, ttl_s: int = 3600) -> str:
        """An address below a prefix that opens one file until it expires."""
        return links.signed(self.settings, f"{prefix}/{name}", ttl_s)


def name_of(content: bytes) -> str:
    """The name under which a file with this content is kept."""
    return hashlib.sha256(content).hexdigest()


def _path(name: str) -> str:
    if len(name) != 64 or not all(c in "0123456789abcdef" for c in name):  # noqa: PLR2004
        raise NotFound("That is not the name of a file.")
    return f"{name[:2]}/{name}"
