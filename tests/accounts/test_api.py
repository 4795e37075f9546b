"""The JSON door of accounts."""

from uuid import uuid4

from shared.auth import Verifier
from tests.accounts.builders import an_advertiser, some_agencies


def once() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


async def test_an_advertiser_registers_and_its_key_is_believed_offline(flats):
    flat = await flats.start("accounts")
    await some_agencies(flat)
    answer = await flat.client.post("/api/accounts/v1/advertisers", json=an_advertiser(), headers=once())
    assert answer.status_code == 201, answer.text
    body = answer.json()
    principal = Verifier(flat.house.settings).principal(body["key"])
    assert (principal.kind, str(principal.organisation)) == ("key", body["organisation"])
    assert {"ads:book", "ads:read"} <= set(principal.scopes)
    assert principal.agency == "bkh"
