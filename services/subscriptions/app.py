"""Wires the subscriptions service."""

from litestar import Litestar

from services.subscriptions import api, pages
from services.subscriptions.api.access import doorkeeping
from services.subscriptions.consumers import consumer
from services.subscriptions.jobs import jobs
from shared.service import Service
from shared.settings import Settings


def create_app(settings: Settings) -> Litestar:
    """The service as one Litestar app."""
    return Litestar(
        route_handlers=[*api.routes, *pages.routes],
        lifespan=[doorkeeping],
        plugins=[Service("subscriptions", settings, consumer, jobs)],
    )
