"""The secrets of one home: made once, readable by their owner alone."""

import json
import os
from pathlib import Path

from joserfc.jwk import KeySet, OKPKey

from shared.contracts import SERVICES
from shared.keys import OPERATOR, nats_password

NATS_USERS = (*SERVICES, OPERATOR)


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
        if not (folder / "token_private_key").exists():
            key = OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"}, auto_kid=True)
            public = KeySet([OKPKey.import_key(key.as_dict(private=False))])
            write_private(folder / "token_public_keys", json.dumps(public.as_dict(private=False)))
            write_private(folder / "token_private_key", json.dumps(key.as_dict(private=True)))

    def text(self, name: str) -> str:
        """The secret of this name: 256 random bits, whatever clock drives the house."""
        file = self.folder / name
        if not file.exists():
            write_private(file, os.urandom(32).hex())
        return file.read_text(encoding="utf-8").strip()

    def nats_password(self, user: str) -> str:
        """The secret with which a service, or the operator, enters NATS."""
        return nats_password(self.text("operator"), user)
