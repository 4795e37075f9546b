"""The finance pages: growth first, and from every figure down to the entry and the fact."""

from typing import Any

from litestar import Router

from services.ledger.pages import books, growth, tables

routes: list[Any] = [Router("/finance", route_handlers=[*growth.handlers, *books.handlers, *tables.handlers])]
"""Each handler names its guard."""
