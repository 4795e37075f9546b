"""Where a buyer goes on from an order: to pay for it, or to what costs nothing."""

from collections.abc import Iterable
from uuid import UUID

from litestar.response import Redirect

from shared import clock, sales
from shared.db import Tx
from shared.request import Request
from shared.sales import Sale


def off_to_pay(request: Request, sale: Sale, own: str) -> Redirect:
    """To payments; to the order's own page where there is nothing to pay."""
    link = sales.pay_link(request.app.state.settings, "events", sale) if sale.waits else own
    return Redirect(link, status_code=303)


async def pay_links(request: Request, tx: Tx, invoices: Iterable[UUID | None]) -> dict[UUID | None, str]:
    """Where each invoice that can be paid now is paid."""
    settings, now = request.app.state.settings, clock.now()
    found = (await sales.find(tx, invoices)).values()
    return {
        sale.id: sales.pay_link(settings, "events", sale)
        for sale in found
        if sale.waits and now < sale.expires_at
    }
