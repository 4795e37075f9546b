"""The secrets of one home: made once, readable by their owner alone."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
from joserfc.jwk import OKPKey

from ops.keys import Former
from shared.contracts import SERVICES
from shared.keys import OPERATOR, nats_password

NATS_USERS = (*SERVICES, OPERATOR)

SIGNING = ("token", "head")
"""What is signed by an Ed25519 key of its own: page tokens with API keys by accounts, heads of the books by the ledger.

They are random, so that nobody who holds another secret, not even the operator's, can derive them.
"""


def write_private(file: Path, text: str) -> None:
    """Put a text into a file that only its owner may read, whole or not at all."""
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    part.replace(file)


class Keys:
    """Read a secret by its name, making it at the first time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        for signed in SIGNING:
            if not (folder / f"{signed}_private_key").exists():
                self.turn_key(signed, [])

    def turn_key(self, signed: str, kept: list[dict[str, Any]]) -> None:
        """Sign with a new key from now on; `kept` are the public keys of before that still open what they signed."""
        key = OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"}, auto_kid=True)
        public = {"keys": [key.as_dict(private=False), *kept]}
        # What is signed by the new key must never meet somebody who does not know it.
        write_private(self.folder / f"{signed}_public_keys", json.dumps(public))
        write_private(self.folder / f"{signed}_private_key", json.dumps(key.as_dict(private=True)))

    def public_keys(self, signed: str) -> list[dict[str, Any]]:
        """The public keys by which tokens, or heads, are opened, the newest first."""
        found: list[dict[str, Any]] = json.loads(self.text(f"{signed}_public_keys"))["keys"]
        return found

    def text(self, name: str) -> str:
        """The secret of this name: 256 random bits, whatever clock drives the house."""
        file = self.folder / name
        if not file.exists():
            write_private(file, os.urandom(32).hex())
        return file.read_text(encoding="utf-8").strip()

    def formers(self) -> list[Former]:
        """The operator's secrets of before, the newest first."""
        file = self.folder / "operator_former"
        return msgspec.json.decode(file.read_bytes(), type=list[Former]) if file.exists() else []

    def turn_operator(self, until: int, *, leaked: bool) -> None:
        """Derive everything from a new secret from now on. That of before opens what it signed `until` then.

        Where it has leaked none of those before opens anything any more but seals, which are made anew.
        """
        before = [Former(self.text("operator"), until), *self.formers()]
        if leaked:
            before = [Former(former.secret, 0) for former in before]
        # First, so that what is sealed can be opened whenever this is cut off.
        write_private(self.folder / "operator_former", msgspec.json.encode(before).decode())
        write_private(self.folder / "operator", os.urandom(32).hex())

    def nats_password(self, user: str) -> str:
        """The secret with which a service, or the operator, enters NATS."""
        return nats_password(self.text("operator"), user)
