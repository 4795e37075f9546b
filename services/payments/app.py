"""Wiring of payments, the only service that touches money rails."""

from litestar import Litestar

from services.payments import api, pages
from services.payments.consumers import consumer
from services.payments.jobs import jobs
from services.payments.simulators import pages as simulator
from shared.service import Service
from shared.settings import Settings


def create_app(settings: Settings) -> Litestar:
    """Payments, with the VNPay simulator inside where no address of VNPay is set."""
    return Litestar(
        route_handlers=[*api.routes, *pages.routes, *simulator.routes(settings)],
        plugins=[Service("payments", settings, consumer, jobs)],
    )
