"""What must not be read back: passwords, codes and tokens as hashes, TOTP secrets sealed."""

import asyncio
import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import msgspec
import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zxcvbn import zxcvbn

from services.accounts import rules
from shared import clock, links
from shared.errors import Unavailable
from shared.outside import outside
from shared.settings import Settings

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_two_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
"""Two at a time: more would take the memory and the cores of everything else."""
_one_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="zxcvbn")
"""One at a time: zxcvbn keeps the words that it is given in a global."""

NO_PASSWORD = (
    "$argon2id$v=19$m=19456,t=2,p=1$gUxW39US0kMpsfB3yphf4w$Bu254XjMjeAkbafH10ss0JxHG6RNm3NiGfwchOGPNYs"  # noqa: S105
)
"""Compared with where a person is unknown or has no password, so that the answer takes as long."""

STEP_S = 30

NAME = 4
"""Bytes by which a seal names its key."""

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

LEAST_GUESSES_LOG10 = 8
"""Powers of ten of guesses that a new password must outlast, as zxcvbn counts them."""
MEASURED = 16
"""Characters of a password that are measured: beyond them it only gets better, and zxcvbn takes seconds to minutes."""
KNOWN_LENGTH = 3
"""Shorter pieces of a name or address are found in any password: they are measured, not taken away."""
MEASURED_AT_ONCE = 20
"""Passwords that wait to be measured, a tenth of a second each."""


class Shown(msgspec.Struct, frozen=True):
    """What somebody typed as a password, held against the hash that was read before."""

    typed: str
    hashed: str | None
    fits: bool

    def is_still(self, hashed: str | None) -> bool:
        """Whether it is the password of this hash, which is read anew: it may have changed meanwhile."""
        return self.fits and self.hashed == hashed


@outside
async def compare_password(typed: str, hashed: str | None) -> Shown:
    """Hold a text against a hash; as slow for a person without a password, which nothing fits."""

    def verify() -> bool:
        try:
            return _hasher.verify(hashed or NO_PASSWORD, typed[: rules.PASSWORD_MAX])
        except (VerificationError, InvalidHashError):
            return False

    fits = await asyncio.get_running_loop().run_in_executor(_two_threads, verify)
    return Shown(typed, hashed, fits and hashed is not None)


@outside
async def hash_password(password: str) -> str:
    """An argon2id hash (m = 19 MiB, t = 2, p = 1), made beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_two_threads, _hasher.hash, password)


@outside
async def new_password(password: str, *, totp: bool, about: Iterable[str | None]) -> str:
    """The hash of a password that is good enough. Raises what `check_password` raises."""
    await check_password(password, totp=totp, about=about)
    return await hash_password(password)


@outside
async def check_password(password: str, *, totp: bool, about: Iterable[str | None]) -> None:
    """Raises Unprocessable for a password that is too short or long, common, or made of what is known of its person.

    zxcvbn counts how many guesses it outlasts; the words that Vietnamese passwords are made of come from us. Raises
    Unavailable while many others are measured.
    """
    rules.check_password(password, totp=totp)
    if len(_measured) >= MEASURED_AT_ONCE:
        raise Unavailable("Many people choose a password just now; try again.", retry_after_s=5)
    work = asyncio.get_running_loop().run_in_executor(_one_thread, _guesses_log10, password, _known(about))
    _measured.add(work)
    work.add_done_callback(_measured.discard)
    if await work < LEAST_GUESSES_LOG10:
        raise rules.CommonPassword(
            "This password is a common one, or easy to guess from your name, address or phone."
        )


_measured: set[asyncio.Future[float]] = set()


def _guesses_log10(password: str, known: list[str]) -> float:
    """How many guesses a password outlasts, in powers of ten: as it is, and without the known words."""
    text = rest = _plain(password)
    for word in known:
        if len(word) >= KNOWN_LENGTH:
            rest = rest.replace(word, "")
    words = [*rules.COMMON_WORDS, *known]
    spelt = {text[:MEASURED], rest[:MEASURED]}
    return min(zxcvbn(one, user_inputs=words)["guesses_log10"] if one else 0.0 for one in spelt)


def _known(about: Iterable[str | None]) -> list[str]:
    """The words in what is known of a person, the longest first: whole, in pieces, a phone without its country."""
    found: set[str] = set()
    for text in filter(None, about):
        found |= {_plain(text), *map(_plain, re.split(r"[\W_]+", text))}
        if text.startswith("+84"):
            found.add(text.removeprefix("+84"))
    return sorted(found - {""}, key=len, reverse=True)


def _plain(text: str) -> str:
    """A text as it is typed without accents and spaces."""
    letters = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(c for c in letters if not unicodedata.combining(c) and not c.isspace())


def digest(secret: str) -> bytes:
    """How a random secret of 256 bits is kept."""
    return hashlib.sha256(secret.encode()).digest()


def short_digest(settings: Settings, secret: str, owner: object) -> str:
    """How a code that is short enough to be guessed is kept: keyed, and bound to its owner."""
    return links.signature(settings, "code", f"{owner}:{secret}")


def fits(settings: Settings, secret: str, owner: object, kept: str) -> bool:
    return bool(kept) and links.fits(settings, "code", f"{owner}:{secret}", kept)


def short_digests(settings: Settings, secret: str, owner: object) -> list[str]:
    """How such a code may be kept: it can have been written down before the key was turned."""
    return list(links.signatures(settings, "code", f"{owner}:{secret}"))


def six_digits() -> str:
    return f"{int(clock.new_secret(64), 16) % 1_000_000:06d}"


def recovery_code() -> str:
    """Nearly fifty random bits as `xxxxx-xxxxx`, in letters and digits that are not mistaken for each other."""
    number = int(clock.new_secret(64), 16)
    text = ""
    for _ in range(10):
        number, rest = divmod(number, len(ALPHABET))
        text += ALPHABET[rest]
    return f"{text[:5]}-{text[5:]}"


def new_totp_secret() -> str:
    """160 random bits in base 32."""
    return base64.b32encode(bytes.fromhex(clock.new_secret(160))).decode()


def totp_uri(secret: str, email: str) -> str:
    """What the QR code says to the authenticator."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="Nguồn Thu")


def totp_step(secret: str, code: str, now: datetime, last_step: int) -> int | None:
    """The 30-second step whose code this is (one step of drift either way), or None; a step counts once."""
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // STEP_S
    for step in (current, current - 1, current + 1):
        if step > last_step and hmac.compare_digest(totp.at(step * STEP_S).encode(), code.encode()):
            return step
    return None


def seal(settings: Settings, text: str) -> bytes:
    """Encrypt with a key that follows from the house's secret (AES-256-GCM); the seal names its key first."""
    key, nonce = _key(settings.secret), bytes.fromhex(clock.new_secret(96))
    return _name(key) + nonce + AESGCM(key).encrypt(nonce, text.encode(), None)


def unseal(settings: Settings, sealed: bytes) -> str:
    """What is sealed, by whichever of our keys. Raises InvalidTag for a seal that was altered, or is none of ours."""
    keys = {_name(key): key for key in map(_key, links.openers(settings, whenever=True))}
    name, nonce, text = sealed[:NAME], sealed[NAME : NAME + 12], sealed[NAME + 12 :]
    if name not in keys:
        raise InvalidTag
    return AESGCM(keys[name]).decrypt(nonce, text, None).decode()


def seal_name(settings: Settings) -> bytes:
    """How a seal begins that the key of now has made."""
    return _name(_key(settings.secret))


def _key(secret: str) -> bytes:
    return hashlib.sha256(f"totp\0{secret}".encode()).digest()


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"name\0" + key).digest()[:NAME]
