"""Accounts: wiring only."""

from litestar import Litestar

from services.accounts import api, pages
from services.accounts.consumers import consumer
from services.accounts.jobs import jobs
from shared.service import Service
from shared.settings import Settings
from shared.web import component_routes


def create_app(settings: Settings) -> Litestar:
    return Litestar(
        route_handlers=[*api.routes, *pages.routes, component_routes()],
        plugins=[Service("accounts", settings, consumer, jobs)],
    )
