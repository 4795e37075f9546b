"""Beacon tokens: what was shown where and when, signed, so that a beacon needs no memory of its decision."""

import base64
import binascii
import hashlib
import hmac
import struct
from uuid import UUID

import msgspec

VIEW_TTL_S = 15 * 60
CLICK_TTL_S = 24 * 3600
BUCKET_S = 300
"""Leases of impressions are granted for buckets of time this long."""

KINDS = {"i": "impression", "v": "viewable", "c": "click"}

_BODY = struct.Struct(">II16s16s16s")
_MAC = 16
_MAX = 256


class Shown(msgspec.Struct, frozen=True):
    """One ad handed out: the nonce makes it this one and no other."""

    issued_s: int
    bucket: int
    line: UUID
    creative: UUID
    nonce: UUID
    placement: str
    section: str


def key_of(secret: str) -> bytes:
    return hashlib.sha256(f"beacon\0{secret}".encode()).digest()


def seal(key: bytes, shown: Shown) -> str:
    """Sign what was shown."""
    body = (
        _BODY.pack(shown.issued_s, shown.bucket, shown.line.bytes, shown.creative.bytes, shown.nonce.bytes)
        + f"{shown.placement}\0{shown.section}".encode()
    )
    mac = hmac.digest(key, body, "sha256")[:_MAC]
    return base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode()


def unseal(key: bytes, token: str) -> Shown | None:
    """Read a token; none when it is not one of ours, whatever it is."""
    if len(token) > _MAX or not token.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    mac, body = raw[:_MAC], raw[_MAC:]
    if len(body) < _BODY.size or not hmac.compare_digest(hmac.digest(key, body, "sha256")[:_MAC], mac):
        return None
    issued_s, bucket, line, creative, nonce = _BODY.unpack_from(body)
    placement, _, section = body[_BODY.size :].decode().partition("\0")
    return Shown(
        issued_s, bucket, UUID(bytes=line), UUID(bytes=creative), UUID(bytes=nonce), placement, section
    )


def expired(shown: Shown, kind: str, now_s: float) -> bool:
    """Views count for a quarter of an hour after the decision, clicks for a day."""
    return now_s - shown.issued_s > (CLICK_TTL_S if kind == "c" else VIEW_TTL_S)
