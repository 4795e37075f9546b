"""How a finance page is shown: under the head of the books from which its figures come."""

from typing import Any

from litestar.response import Template

from services.ledger.pages import words
from services.ledger.queries import heads
from services.ledger.rules.heads import printed
from shared.db import Tx
from shared.request import Request
from shared.web import page


async def finance_page(request: Request, tx: Tx, template: str, **shown: Any) -> Template:
    """A page with the finance navigation, and the head that was signed last at its foot."""
    head = await heads.latest(tx)
    return page(request, template, nav=words.NAVIGATION, head=printed(head) if head else "", **shown)
