"""What the pages of events share: who may open them, links to pay, refusals in the reader's words."""

from typing import Any

from litestar import Request

from services.events.actions.invoices import pay_link
from services.events.queries import PartView, RegistrationView, SponsorshipView
from shared import auth
from shared.db import Tx
from shared.errors import Refused
from shared.limits import limited
from shared.service import enter_as
from shared.web import N_, language_of, translate

Caller = Request[Any, Any, Any]

may_buy = auth.Right(own=True)
may_see_desk = auth.Right(roles={"events", "administrator", "auditor"})
may_work_desk = auth.Right(roles={"events", "administrator"})
bookings = limited("events-book", per_minute=600, burst=300)

WORDS = {
    "sold-out": N_("Vừa hết: người khác đã nhanh hơn một bước. Bạn chưa bị trừ tiền."),
    "industry-taken": N_(
        "Ngành này đã có nhà tài trợ tại sự kiện, và gói giữ độc quyền ngành. Bạn chưa bị trừ tiền."
    ),
    "sales-closed": N_("Đã hết hạn đăng ký. Bạn chưa bị trừ tiền."),
    "already-in": N_("Vé này đã vào cổng rồi."),
    "not-paid": N_("Vé này chưa được thanh toán."),
    "not-found": N_("Không tìm thấy vé này tại sự kiện."),
}

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


def badge(request: Caller, state: str) -> tuple[str, str]:
    """A state as a badge of `ui.table` and `ui.badge` shows it."""
    text, kind = STATES[state]
    return translate(language_of(request), text), kind


def words_of(refusal: Refused) -> str:
    """The refusal's text id where readers meet it, else its own sentence."""
    return WORDS.get(refusal.code, refusal.sentence)


async def forget_attempt(tx: Tx, request: Caller) -> None:
    """Roll back what a refused action had begun, and see again what the caller may."""
    await tx.rollback()
    await enter_as(tx, auth.reach_of(request))


def part_link(request: Caller, sponsorship: SponsorshipView, part: PartView) -> str | None:
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


def order_link(request: Caller, order: RegistrationView) -> str:
    return pay_link(
        request.app.state.settings, order.agency, order.invoice, order.total_vnd, order.expires_at
    )
