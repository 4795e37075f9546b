"""Copies sealed for one key (the age format): whoever makes them knows its public half alone, and cannot open them."""

from pathlib import Path

import pyrage
from pyrage.x25519 import Identity, Recipient

from ops.places import BadBackup

SECRET = "AGE-SECRET-KEY-"  # noqa: S105 - how such a key begins


def new_key() -> tuple[str, str]:
    """A key pair: the text of the key's file, which opens, and the public half, for which is sealed."""
    key = Identity.generate()
    return f"# public key: {key.to_public()}\n{key}\n", str(key.to_public())


def seal(file: Path, target: Path, recipient: str) -> None:
    """Seal a file for the public half of a key. Raises BadBackup for what is none."""
    try:
        public = Recipient.from_str(recipient)
    except pyrage.RecipientError as error:
        # Not repeated here: it may be the secret half, put in the wrong place.
        raise BadBackup(
            "NGUONTHU_BACKUP_RECIPIENT is not the public half of a key, which begins with age1.",
            "nguonthu backup-key FILE makes a key and says it.",
        ) from error
    pyrage.encrypt_file(str(file), str(target), [public])


def unseal(file: Path, target: Path, key: str) -> None:
    """Open a sealed file by the text of a key's file; the target holds nothing to rely on when it raises BadBackup."""
    try:
        pyrage.decrypt_file(str(file), str(target), [_secret(key)])
    except pyrage.DecryptError as error:
        raise BadBackup(
            f"{file.name} was sealed for another key, or its beginning is damaged ({error}).",
            "Give the key of its time: NGUONTHU_BACKUP_KEY_FILE=FILE nguonthu restore …",
        ) from error
    except OSError as error:
        if "decryption error" not in str(error):
            raise
        raise BadBackup(
            f"{file.name} is not as it was when it was sealed: it was altered or cut short.",
            "Take it from another place, or an older copy by its own name.",
        ) from error


def _secret(key: str) -> Identity:
    """The key in the text of its file, of which other lines are remarks."""
    lines = [line.strip() for line in key.splitlines() if line.strip().startswith(SECRET)]
    if not lines:
        raise BadBackup(
            "The copy is sealed, and NGUONTHU_BACKUP_KEY holds no key that opens it.",
            "Name the key's file: NGUONTHU_BACKUP_KEY_FILE=FILE nguonthu restore …",
        )
    try:
        return Identity.from_str(lines[0])
    except pyrage.IdentityError as error:
        raise BadBackup("NGUONTHU_BACKUP_KEY is damaged: it is no key.") from error
