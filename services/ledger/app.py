"""Wires the ledger: the books, their API and the finance pages."""

from litestar import Litestar

from services.ledger import api, pages
from services.ledger.consumers import consumer
from services.ledger.gateways import drawing
from services.ledger.jobs import jobs
from shared.service import Service
from shared.settings import Settings


def create_app(settings: Settings) -> Litestar:
    return Litestar(
        route_handlers=[*api.routes, *pages.routes],
        lifespan=[drawing],
        plugins=[Service("ledger", settings, consumer, jobs)],
    )
