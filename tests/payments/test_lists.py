"""Long lists of the desk: all of it can be reached, page by page."""

import re

import pytest

from tests.conftest import Flats
from tests.payments import a_line, an_invoice, at_bank, notify, resigned
from tests.payments.test_pages import ALL, DESK, sign_in


async def test_refused_notifications_are_all_there_page_by_page(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.payments.pages import attempts

    flat = await flats.start("payments")
    invoice = an_invoice(a_line(50_000, 0))
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    for amount in (1_000, 2_000, 3_000):
        assert await notify(flat, resigned(query, vnp_Amount=str(amount))) == "04"
    monkeypatch.setattr(attempts, "PAGE", 2)
    sign_in(flats, flat, bkh=ALL)
    first = (await flat.client.get(f"{DESK}/held")).text
    assert first.count("<code>04</code>") == 2
    (more,) = re.findall(r'href="([^"]+cursor=[^"]+)" rel="next"', first)
    assert (await flat.client.get(more.replace("&amp;", "&"))).text.count("<code>04</code>") == 1
