"""How what was sold stands, as its sale tells."""

from services.events.rules.stock import Standing, standing
from shared.sales import Sale


def standing_of(sale: Sale) -> Standing:
    """What became of a sale."""
    return standing(
        returned=sale.credited_vnd > 0 and sale.left_vnd == 0,
        paid=sale.paid_at is not None,
        taken=sale.taken is not None,
        over=sale.outcome is not None,
        withdrawn=sale.withdrawn_at is not None,
    )
