"""What the pages of events share: who may open them, links to pay."""

from services.events.actions.invoices import pay_link
from services.events.queries import PartView, RegistrationView, SponsorshipView
from shared import auth
from shared.limits import limited
from shared.request import Request
from shared.web import N_, language_of, translate

may_buy = auth.Right(own=True)
may_see_desk = auth.Right(roles={"events", "administrator", "auditor"})
may_work_desk = auth.Right(roles={"events", "administrator"})
bookings = limited("events-book", per_minute=600, burst=300)

STATES = {
    "draft": (N_("Bản nháp"), "neutral"),
    "proposed": (N_("Đã đề nghị"), "info"),
    "accepted": (N_("Chờ thanh toán đợt 1"), "warn"),
    "contracted": (N_("Đã ký kết"), "success"),
    "fulfilling": (N_("Đang thực hiện quyền lợi"), "success"),
    "fulfilled": (N_("Đã hoàn thành"), "success"),
    "cancelled": (N_("Đã hủy"), "neutral"),
    "waiting": (N_("Chờ thanh toán"), "warn"),
    "paid": (N_("Đã thanh toán"), "success"),
    "refunded": (N_("Đang hoàn tiền"), "info"),
}
"""How each state reads, and the kind of its badge."""


def badge(request: Request, state: str) -> tuple[str, str]:
    """A state as a badge of `ui.table` and `ui.badge` shows it."""
    text, kind = STATES[state]
    return translate(language_of(request), text), kind


def part_link(request: Request, sponsorship: SponsorshipView, part: PartView) -> str | None:
    """Where an instalment can be paid; nothing when it cannot be, now."""
    if (
        not part.payable
        or part.invoice is None
        or part.expires_at is None
        or sponsorship.state == "cancelled"
    ):
        return None
    return pay_link(
        request.app.state.settings, sponsorship.agency, part.invoice, part.total_vnd, part.expires_at
    )


def order_link(request: Request, order: RegistrationView) -> str:
    return pay_link(
        request.app.state.settings, order.agency, order.invoice, order.total_vnd, order.expires_at
    )
