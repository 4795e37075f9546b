"""Wiring of ads: the API, the pages, and the serving of ads from memory."""

from litestar import Litestar

from services.ads import api, pages
from services.ads.actions.serving import serving
from services.ads.consumers import consumer
from services.ads.jobs import jobs
from shared.service import Service
from shared.settings import Settings


def create_app(settings: Settings) -> Litestar:
    return Litestar(
        route_handlers=[*api.routes, *pages.routes],
        lifespan=[serving],
        plugins=[Service("ads", settings, consumer, jobs)],
    )
