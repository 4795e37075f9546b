"""How states read on the pages of events."""

from services.events import queries
from shared.request import Request
from shared.web import N_, language_of, translate

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
    "refunded": (N_("Đã hủy, trả lại tiền"), "info"),
}
"""How each state reads, and the kind of its badge."""


def badge(request: Request, state: str) -> tuple[str, str]:
    """A state as a badge of `ui.table` and `ui.badge` shows it."""
    text, kind = STATES[state]
    return translate(language_of(request), text), kind


def part_state(sponsorship: queries.SponsorshipView, part: queries.PartView) -> str:
    """How an instalment stands: what was never invoiced of a sponsorship that is over is cancelled with it."""
    return "cancelled" if part.state == "planned" and sponsorship.state == "cancelled" else part.state
