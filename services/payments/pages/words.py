"""How the codes of payments read: refunds, why money lies in suspense, what the bank answered."""

from typing import Any

import msgspec

from services.payments import queries
from shared.request import Request
from shared.web import N_, language_of, translate

STATES = {
    "asked": (N_("Chờ duyệt"), "warn"),
    "due": (N_("Sắp gửi"), "info"),
    "sent": (N_("Đã gửi, chờ trả lời"), "info"),
    "unclear": (N_("Chưa rõ kết quả"), "danger"),
    "completed": (N_("Đã hoàn"), "success"),
    "failed": (N_("Không hoàn được"), "danger"),
    "rejected": (N_("Đã từ chối"), "neutral"),
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

REASONS = {
    "credit": N_("Bên bán giảm trừ"),
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
            "mark": (self.reason(row.reason), "warn")
            if row.reason
            else (translate(self.lang, PAID), "success"),
        }

    def refund(self, row: queries.RefundView) -> dict[str, Any]:
        label, kind = STATES[row.state]
        plain = msgspec.structs.asdict(row)
        return {**plain, "reason": self.reason(row.reason), "mark": (translate(self.lang, label), kind)}

    def notification(self, row: queries.NotificationView) -> dict[str, Any]:
        return {**msgspec.structs.asdict(row), "reason": self.reason(row.reason)}
