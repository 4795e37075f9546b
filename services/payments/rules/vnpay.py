"""VNPay 2.1.0 as pure functions: fields, signatures and codes, checked against the published vectors."""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl, quote_plus, unquote_plus
from uuid import UUID

import msgspec

from shared.calendar import ZONE
from shared.errors import Refused

VERSION = "2.1.0"
PAY_PATH = "/paymentv2/vpcpay.html"
API_PATH = "/merchant_webapi/api/transaction"
HASH_FIELDS = ("vnp_SecureHash", "vnp_SecureHashType")

QUERY_REQUEST = (
    "RequestId", "Version", "Command", "TmnCode", "TxnRef",
    "TransactionDate", "CreateDate", "IpAddr", "OrderInfo",
)  # fmt: skip
QUERY_ANSWER = (
    "ResponseId", "Command", "ResponseCode", "Message", "TmnCode", "TxnRef", "Amount", "BankCode",
    "PayDate", "TransactionNo", "TransactionType", "TransactionStatus", "OrderInfo",
    "PromotionCode", "PromotionAmount",
)  # fmt: skip
REFUND_REQUEST = (
    "RequestId", "Version", "Command", "TmnCode", "TransactionType", "TxnRef", "Amount",
    "TransactionNo", "TransactionDate", "CreateBy", "CreateDate", "IpAddr", "OrderInfo",
)  # fmt: skip
REFUND_ANSWER = QUERY_ANSWER[:-2]
"""Order of the fields in the signed, pipe-joined texts, without their prefix `vnp_`."""

ORDER_TYPES = {"subscription": "150000", "article": "150000", "ticket": "190000", "contest.entry": "190000"}
"""VNPay's category by stream; `other` for the rest."""

Verdict = Literal["paid", "suspect", "failed", "unfinished"]


class BadSignature(Refused, status=400):
    """What came does not bear the signature of a terminal of ours."""


class Terminal(msgspec.Struct, frozen=True):
    """An agency's point of sale at VNPay, with the secret that signs for it."""

    agency: str
    code: str
    secret: str


class Call(msgspec.Struct, frozen=True):
    """A request to VNPay, signed and ready to send, and what of ours it is about: an attempt, or a refund."""

    about: UUID
    body: dict[str, str]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified IPN, return or answer says of one transaction."""

    terminal: str
    reference: str
    amount_vnd: int | None
    """None where the amount is no whole number of đồng: it then equals no amount of ours."""
    verdict: Verdict
    response: str
    gateway_no: str
    bank: str
    paid_at: datetime | None


SIMULATED = (
    "bkh:KHNEWS01:KHTESTSECRET0123456789ABCDEFGHIJ,tcnt:NTMAG001:NTTESTSECRET0123456789ABCDEFGHIJ,"
    "baokh:BAOKH001:BKTESTSECRET0123456789ABCDEFGHIJ,ktv:KTVKH001:TVTESTSECRET0123456789ABCDEFGHIJ"
)
"""The simulator's terminals. `golive.py` knows their published secrets by `TESTSECRET` in each."""


def terminals(text: str) -> dict[str, Terminal]:
    """Read the setting (`agency:terminal:secret,…`) as terminals by code; empty are the simulator's.

    Raises ValueError for a broken one.
    """
    parts = [part.split(":") for part in (text or SIMULATED).split(",") if part]
    if any(len(part) != 3 for part in parts):  # noqa: PLR2004 - agency, terminal, secret
        raise ValueError("NGUONTHU_VNPAY_TERMINALS wants agency:terminal:secret, separated by commas.")
    return {code: Terminal(agency, code, secret) for agency, code, secret in parts}


def terminal_of(known: Mapping[str, Terminal], agency: str) -> Terminal | None:
    """The agency's terminal, or None where it has no contract with VNPay."""
    return next((terminal for terminal in known.values() if terminal.agency == agency), None)


def sign(secret: str, text: str) -> str:
    """HMAC-SHA512 in lower-case hexadecimal."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha512).hexdigest()


def query_text(params: Mapping[str, str]) -> str:
    """The text that is signed of a pay request, IPN or return: non-empty fields, by name in byte order."""
    return "&".join(
        f"{name}={quote_plus(value)}"
        for name, value in sorted(params.items())
        if name.startswith("vnp_") and name not in HASH_FIELDS and value
    )


def signed_query(secret: str, params: Mapping[str, str]) -> str:
    """A query string with its signature at the end."""
    text = query_text(params)
    return f"{text}&vnp_SecureHash={sign(secret, text)}"


def pipe_text(params: Mapping[str, object], order: Sequence[str]) -> str:
    """The text that is signed of a query or refund: values in a fixed order, missing ones empty."""
    return "|".join(str(params.get(f"vnp_{name}", "")) for name in order)


def with_pipe_hash(secret: str, params: Mapping[str, str], order: Sequence[str]) -> dict[str, str]:
    return {**params, "vnp_SecureHash": sign(secret, pipe_text(params, order))}


def pipe_holds(secret: str, params: Mapping[str, object], order: Sequence[str]) -> bool:
    """Whether a JSON body bears the right signature; one without any does not."""
    given = str(params.get("vnp_SecureHash", ""))
    return hmac.compare_digest(sign(secret, pipe_text(params, order)).encode(), given.lower().encode())


def opened_query(raw: str, known: Mapping[str, Terminal]) -> dict[str, str]:
    """Check a query string as it was received and return its fields. Raises BadSignature.

    The raw text is checked first, since encoders disagree on `!'()*~`; then the same fields encoded anew.
    """
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise BadSignature("The query cannot be read.") from error
    params = dict(pairs)
    if len(params) != len(pairs):
        raise BadSignature("A field comes twice.")
    terminal = known.get(params.get("vnp_TmnCode", ""))
    given = params.get("vnp_SecureHash", "").lower().encode()
    if terminal is None or not given:
        raise BadSignature("The notification names no terminal of ours, or bears no signature.")
    for text in (_raw_text(raw), query_text(params)):
        if hmac.compare_digest(sign(terminal.secret, text).encode(), given):
            return params
    raise BadSignature("The signature does not fit.")


def _raw_text(raw: str) -> str:
    parts = [part.partition("=") for part in raw.split("&")]
    kept = [
        (unquote_plus(name), value)
        for name, _, value in parts
        if value and unquote_plus(name).startswith("vnp_") and unquote_plus(name) not in HASH_FIELDS
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(kept))


def notification(params: Mapping[str, str]) -> Notification:
    """What verified fields of an IPN, a return or a query's answer say."""
    status = params.get("vnp_TransactionStatus", "")
    response = params.get("vnp_ResponseCode", "")
    return Notification(
        terminal=params.get("vnp_TmnCode", ""),
        reference=params.get("vnp_TxnRef", ""),
        amount_vnd=_amount(params.get("vnp_Amount", "")),
        verdict=verdict(response, status),
        response=response if response != "00" else status,
        gateway_no=params.get("vnp_TransactionNo", ""),
        bank=params.get("vnp_BankCode", ""),
        paid_at=read_moment(params.get("vnp_PayDate", "")),
    )


def verdict(response: str, status: str) -> Verdict:
    """Paid only when both codes say so; 07 means that the money was taken but is suspect, never that it failed.

    A transaction that is being sent back (05, 06, 09) had been taken too: a person looks.
    """
    if "07" in (response, status) or (response == "00" and status in ("05", "06", "09")):
        return "suspect"
    if response == status == "00":
        return "paid"
    return "unfinished" if response == "00" and status in ("", "01") else "failed"


def _amount(text: str) -> int | None:
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) % 100:
        return None
    return int(text) // 100


def moment(instant: datetime) -> str:
    """An instant as VNPay writes it: `yyyyMMddHHmmss` in Viet Nam's time."""
    return f"{instant.astimezone(ZONE):%Y%m%d%H%M%S}"


def read_moment(text: str) -> datetime | None:
    """The instant that VNPay wrote, in UTC; None where it is none."""
    if not re.fullmatch(r"[0-9]{14}", text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=ZONE).astimezone(UTC)
    except ValueError:
        return None


def plain(text: str) -> str:
    """A text as `vnp_OrderInfo` takes it: no diacritics, no special characters, 1 to 255 long."""
    bare = unicodedata.normalize("NFKD", text.replace("đ", "d").replace("Đ", "D"))
    kept = re.sub(r"[^A-Za-z0-9 .,_-]", "", bare)
    return " ".join(kept.split())[:255] or "Thanh toan"


def address(text: str) -> str:
    """An address as VNPay takes it: `::1` breaks its page, and a mapped IPv4 is unwrapped."""
    bare = text.removeprefix("::ffff:")
    return bare if 7 <= len(bare) <= 45 else "127.0.0.1"  # noqa: PLR2004 - the field's limits
