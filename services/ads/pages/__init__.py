"""Doors for people: the rate card, an advertiser's orders, and the desk of ad operations."""

from typing import Any

from services.ads.pages import desk, find, orders

routes: list[Any] = [*orders.routes, *desk.routes, *find.routes]

__all__ = ["routes"]
