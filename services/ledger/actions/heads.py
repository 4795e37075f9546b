"""Heads leave the database: signed by a key that its owner lacks, and said to another service, which keeps them."""

import json
from datetime import datetime

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from services.ledger.actions.posting import become_writer
from services.ledger.actions.recognising import ALL_AGENCIES
from services.ledger.queries import heads
from services.ledger.rules.heads import Head, is_due, signed_bytes
from services.ledger.tables import HeadRow
from shared import clock
from shared.bulk import insert_many
from shared.contracts.ledger import HeadSigned
from shared.db import Tx
from shared.outbox import emit
from shared.settings import PREFIX, BadSetting, Settings


async def sign_due(tx: Tx, settings: Settings) -> Head | None:
    """Sign the archive's head where one is due, keep it and say it; returns it. Raises BadSetting without the key.

    The archive's numbers have no gaps and one writer gives them, so that nothing can come below what is read here.
    """
    await become_writer(tx)  # nobody puts other books in the place of these meanwhile
    last, top, now = await heads.latest(tx), await heads.top(tx), clock.now()
    if top is None or not is_due(last, top.seq, top.reached, now):
        return None
    head = signed(settings.head_private_key, top.seq, top.hash, now)
    said = msgspec.structs.asdict(head)
    await insert_many(tx, HeadRow, [said])
    await emit(tx, HeadSigned(agency=ALL_AGENCIES, **said))
    return head


def signed(private_key: str, seq: int, digest: str, at: datetime) -> Head:
    """A head with its signature. Raises BadSetting without the key."""
    if not private_key:
        raise BadSetting(f"{PREFIX}HEAD_PRIVATE_KEY is not set: no head of the books can be signed.")
    read = OKPKey.import_key(json.loads(private_key))
    key = read.private_key
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSetting(f"{PREFIX}HEAD_PRIVATE_KEY is no private Ed25519 key.")
    head = Head(seq, digest, at, str(read.kid))
    return msgspec.structs.replace(head, signature=key.sign(signed_bytes(head)).hex())
