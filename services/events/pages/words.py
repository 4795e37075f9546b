"""How states read on the pages of events."""

from services.events import queries
from shared.request import Request
from shared.web import N_, language_of, translate
from shared.web.formats import money

STATES = {
    "draft": (N_("Bản nháp"), "neutral"),
    "proposed": (N_("Đã đề nghị"), "info"),
    "accepted": (N_("Chờ thanh toán đợt 1"), "warn"),
    "contracted": (N_("Đã ký kết"), "success"),
    "fulfilling": (N_("Đang thực hiện quyền lợi"), "success"),
    "fulfilled": (N_("Đã hoàn thành"), "success"),
    "cancelled": (N_("Đã hủy"), "neutral"),
    "planned": (N_("Chưa đến hạn"), "neutral"),
    "waiting": (N_("Chờ thanh toán"), "warn"),
    "ending": (N_("Đã hết giờ giữ"), "warn"),
    "taken": (N_("Tiền đã đến"), "info"),
    "paid": (N_("Đã thanh toán"), "success"),
    "registered": (N_("Đã đăng ký"), "success"),
    "free": (N_("Không phải trả"), "success"),
    "refunded": (N_("Đã hủy, trả lại tiền"), "info"),
}
"""How each state reads, and the kind of its badge."""


FREE = N_("miễn phí")


def badge(request: Request, state: str) -> tuple[str, str]:
    """A state as a badge of `ui.table` and `ui.badge` shows it."""
    text, kind = STATES[state]
    return translate(language_of(request), text), kind


def price(request: Request, total_vnd: int) -> str:
    """A price, or that there is none to pay."""
    return money(total_vnd) if total_vnd else translate(language_of(request), FREE)


def order_state(order: queries.RegistrationView) -> str:
    """How an order of tickets stands: for what costs nothing, nobody paid."""
    return "registered" if order.state == "paid" and not order.total_vnd else order.state


def part_state(sponsorship: queries.SponsorshipView, part: queries.PartView) -> str:
    """How an instalment stands: what was never invoiced of a sponsorship that is over is cancelled with it."""
    if part.state == "paid" and not part.total_vnd:
        return "free"
    return "cancelled" if part.state == "planned" and sponsorship.state == "cancelled" else part.state
