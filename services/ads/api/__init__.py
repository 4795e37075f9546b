"""Doors for programs: booking and review under /api/ads/v1, and the serving of ads to readers."""

from typing import Any

from services.ads.api import orders, serving

routes: list[Any] = [*orders.routes, *serving.routes]

__all__ = ["orders", "routes", "serving"]
