"""Wires the events service."""

from litestar import Litestar

from services.events import api, pages
from services.events.consumers import consumer
from services.events.jobs import jobs
from shared.service import Service
from shared.settings import Settings


def create_app(settings: Settings) -> Litestar:
    return Litestar(
        route_handlers=[*api.routes, *pages.routes], plugins=[Service("events", settings, consumer, jobs)]
    )
