"""How the codes of payments read: refunds, why money lies in suspense, what the bank answered."""

from datetime import datetime
from typing import Any

import msgspec

from services.payments import queries
from services.payments.queries.refunds import RefundView
from shared.request import Request
from shared.web import N_, language_of, translate
from shared.web.formats import moment
from shared.web.problems import reason

STATES = {
    "asked": (N_("Chờ duyệt"), "warn"),
    "approved": (N_("Chờ bên bán trả lời"), "info"),
    "due": (N_("Sắp gửi"), "info"),
    "sent": (N_("Đã gửi, chờ trả lời"), "info"),
    "unclear": (N_("Chưa rõ kết quả"), "danger"),
    "completed": (N_("Đã hoàn"), "success"),
    "failed": (N_("Không hoàn được"), "danger"),
    "rejected": (N_("Không được duyệt"), "neutral"),
    "refused": (N_("Bên bán từ chối"), "neutral"),
    "dropped": (N_("Thôi chờ bên bán"), "neutral"),
}
"""How the states of a refund read, and their colour."""

PAID = N_("Đã trả phiếu")

OUTCOMES = {
    None: (N_("Chờ thanh toán"), "warn"),
    "paid": (N_("Đã trả"), "success"),
    "withdrawn": (N_("Đã rút"), "neutral"),
    "expired": (N_("Hết hạn"), "neutral"),
}
"""How an invoice ended, if it has."""
OFFERED = N_(
    "Đang hỏi bên bán ({seller}) từ {since}; nếu không có trả lời, bàn thanh toán được xử lý từ {until}."
)

DESK_HAS_IT = N_("Bên bán không trả lời: chờ bàn thanh toán trả lại")

ANSWERS = {
    "taken": N_("Bên bán đã nhận"),
    "declined": N_("Bên bán không nhận"),
    "too-late": N_("Bên bán nhận khi tiền đã được trả lại"),
}
"""What a seller said of late money."""

SELLERS = {"ads": N_("quảng cáo"), "subscriptions": N_("báo đọc dài kỳ"), "events": N_("sự kiện")}
"""Who sold it, as staff call them."""

CAUSES = {"credit": N_("Bên bán giảm trừ"), "declined": N_("Bên bán không nhận tiền đến muộn")}
"""Why money goes back where no person at this desk asked."""

REASONS = {
    "already-paid": N_("Phiếu đã được trả trước đó"),
    "invoice-closed": N_("Tiền đến sau khi phiếu đã đóng"),
    "bad-signature": N_("Chữ ký sai"),
    "unknown-order": N_("Không có giao dịch này"),
    "foreign-terminal": N_("Điểm bán khác"),
    "wrong-amount": N_("Sai số tiền"),
    "unfinished": N_("Giao dịch chưa kết thúc"),
    "fault": N_("Lỗi ở phía chúng tôi"),
    "transaction-of-another-order": N_("Mã giao dịch của phiếu khác"),
}

FAILURES = {
    "09": N_(
        "Thẻ hoặc tài khoản chưa đăng ký thanh toán trực tuyến. Hãy đăng ký với ngân hàng hoặc dùng thẻ khác."
    ),
    "10": N_("Thông tin thẻ bị nhập sai quá ba lần. Hãy kiểm tra thẻ rồi thử lại."),
    "11": N_("Đã hết thời gian chờ ở ngân hàng. Hãy trả lần nữa từ đầu."),
    "12": N_("Thẻ hoặc tài khoản đang bị khóa. Hãy dùng thẻ khác hoặc hỏi ngân hàng."),
    "13": N_("Mã OTP không đúng. Hãy thử lại và nhập mã mới nhất."),
    "24": N_("Bạn đã hủy ở trang ngân hàng. Muốn trả, hãy bấm nút dưới đây lần nữa."),
    "51": N_("Tài khoản không đủ số dư. Hãy nạp thêm hoặc dùng thẻ khác."),
    "65": N_("Tài khoản đã vượt hạn mức trong ngày. Hãy dùng thẻ khác hoặc thử lại ngày mai."),
    "75": N_("Ngân hàng đang bảo trì. Hãy thử lại sau ít phút hoặc chọn ngân hàng khác."),
    "79": N_("Mật khẩu thanh toán bị nhập sai quá số lần cho phép. Hãy thử lại sau."),
}
"""What to do, by the code with which VNPay says why nothing was taken."""

SIMULATED = N_("VNPAY ở đây là mô phỏng; không ai mất tiền thật.")

TRIAL = N_("Đây là khu thử nghiệm: không có tiền thật, không vào sổ sách, và bạn đọc không thấy gì.")

FAILED = N_("Ngân hàng không thực hiện giao dịch. Hãy thử lại hoặc dùng thẻ khác.")

NEWS = {
    "paid": N_("Đã nhận tiền. Trang sẽ tự chuyển."),
    "held": N_("Ngân hàng cần kiểm tra thêm giao dịch này."),
    "failed": N_("Chưa trả được. Trang sẽ tự chuyển."),
}


class Words:
    """Codes in the reader's language, for the rows of a table."""

    def __init__(self, request: Request) -> None:
        self.lang = language_of(request)

    def reason(self, code: str) -> str:
        return translate(self.lang, REASONS.get(code, code))

    def capture(self, row: queries.CaptureView) -> dict[str, Any]:
        return {
            **msgspec.structs.asdict(row),
            "rail": f"{row.rail.upper()} {row.bank}".strip(),
            "left_vnd": row.amount_vnd - row.refunding_vnd,
            "refunding_vnd": row.refunding_vnd or None,
            "mark": (translate(self.lang, PAID), "success")
            if row.applied
            else (self.reason(row.reason), "warn"),
        }

    def cause(self, cause: str, reason: str) -> str:
        """Why money goes back: by itself, or as the person wrote who asked."""
        return translate(self.lang, CAUSES[cause]) if cause in CAUSES else reason

    def seller(self, code: str) -> str:
        return translate(self.lang, SELLERS.get(code, code))

    def offer(self, row: queries.CaptureView, now: datetime) -> str:
        """To whom money is offered since when; empty where it is not any more."""
        if not row.is_offered(now):
            return ""
        return translate(self.lang, OFFERED).format(
            seller=self.seller(row.offered_to), since=moment(row.recorded_at), until=moment(row.desk_from)
        )

    def answer(self, row: queries.CaptureView) -> str:
        """What the seller said of late money."""
        if row.answer is None:
            return ""
        said = translate(self.lang, ANSWERS[row.answer])
        return f"{said}: {reason(self.lang, row.answer_reason)}" if row.answer_reason else said

    def suspense(self, row: queries.CaptureView, now: datetime) -> dict[str, Any]:
        """Money in suspense, with who has it."""
        has_it = self.offer(row, now) or self.answer(row) or translate(self.lang, DESK_HAS_IT)
        return {**self.capture(row), "has_it": has_it}

    def why_not(self, row: RefundView) -> str:
        """Why nothing went back: the seller's reason in words, or the gateway's code; of what went there is none."""
        if row.state == "refused":
            return reason(self.lang, row.response)
        return "" if row.state == "completed" else row.response

    def refund(self, row: RefundView) -> dict[str, Any]:
        label, kind = STATES[row.state]
        return {
            **msgspec.structs.asdict(row),
            "reason": self.cause(row.cause, row.reason),
            "why_not": self.why_not(row),
            "seller": self.seller(row.seller),
            "sold": ", ".join(row.sold),
            "mark": (translate(self.lang, label), kind),
        }

    def notification(self, row: queries.NotificationView) -> dict[str, Any]:
        return {**msgspec.structs.asdict(row), "reason": self.reason(row.reason)}
