"""Where copies lie: a folder or a bucket; what is brought there is read back, and compared, before it counts."""

import contextlib
import re
from collections.abc import Iterator
from hashlib import file_digest, sha256
from pathlib import Path

import obstore
from obstore.store import LocalStore, from_url

COPY = re.compile(r"nguonthu-\d{8}-\d{6}\.tar(\.age)?")
"""What the files of copies are called; their instant stands in it, so that the last one comes last."""


class BadBackup(Exception):
    """A copy, its place or its key cannot be used, or a home cannot take it: a sentence, and a hint of what to do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


class Place:
    """A folder, or a bucket as `s3://bucket/prefix`, whose access is given as to other programs (`AWS_…`)."""

    def __init__(self, where: str, *, make: bool = False) -> None:
        self.where = where
        with self._told():
            self._store = (
                from_url(where) if "://" in where else LocalStore(Path(where).absolute(), mkdir=make)
            )

    def held(self) -> list[str]:
        """The whole copies there, the oldest first."""
        with self._told():
            found = obstore.list_with_delimiter(self._store)["objects"]
        return sorted(each["path"] for each in found if COPY.fullmatch(each["path"]))

    def size(self, name: str) -> int:
        """The bytes of one copy."""
        with self._told():
            return int(obstore.head(self._store, name)["size"])

    def put(self, file: Path) -> None:
        """Bring a file there, read it back, and leave nothing there that is not the same."""
        with file.open("rb") as source:
            wanted = file_digest(source, "sha256").digest()
        with self._told():
            obstore.put(self._store, file.name, file)
        found = sha256()
        for chunk in self._chunks(file.name):
            found.update(chunk)
        if found.digest() == wanted:
            return
        with self._told():
            obstore.delete(self._store, file.name)
        raise BadBackup(f"{self.where} gave back other bytes of {file.name} than it was given.")

    def fetch(self, name: str, target: Path) -> None:
        """Write one copy into a file."""
        with target.open("wb") as out:
            for chunk in self._chunks(name):
                out.write(chunk)

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self._told():
            for chunk in obstore.get(self._store, name):
                yield bytes(chunk)

    def forget(self, keep: int) -> list[str]:
        """Remove the oldest copies until no more than `keep` are left; returns those."""
        old = self.held()[:-keep]
        with self._told():
            for name in old:
                obstore.delete(self._store, name)
        return old

    def note(self, name: str, content: bytes) -> None:
        """Leave a few words there, beside the copies."""
        with self._told():
            obstore.put(self._store, name, content)

    def noted(self, name: str) -> bytes | None:
        """Words that were left there."""
        with self._told():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (obstore.exceptions.BaseError, OSError) as error:
            raise BadBackup(f"{self.where} cannot be used: {str(error).splitlines()[0]}") from error
