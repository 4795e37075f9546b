"""Words of the finance pages for what the books call by codes."""

from services.ledger.queries.books import Agency
from shared.request import Request
from shared.web import N_, language_of, translate
from shared.web.page import address, place_of

NAVIGATION = [
    ("/finance", N_("Tăng trưởng")),
    ("/finance/accounts", N_("Cân đối tài khoản")),
    ("/finance/entries", N_("Nhật ký bút toán")),
    ("/desk", N_("Bàn việc")),
    ("/account", N_("Hồ sơ của tôi")),
]

STREAMS = {
    "advertising.web": N_("Quảng cáo trên báo điện tử"),
    "advertising.newsletter": N_("Quảng cáo trong thư tin"),
    "advertising.airtime": N_("Quảng cáo phát thanh, truyền hình"),
    "advertising.content": N_("Bài quảng bá"),
    "subscription": N_("Thuê bao đọc báo"),
    "article": N_("Bán lẻ bài viết"),
    "donation": N_("Ủng hộ của bạn đọc"),
    "sponsorship.cash": N_("Tài trợ bằng tiền"),
    "sponsorship.in_kind": N_("Tài trợ bằng hiện vật"),
    "ticket": N_("Vé sự kiện"),
    "contest.entry": N_("Phí dự thi"),
    "sms": N_("Dịch vụ SMS"),
    "licence": N_("Bản quyền nội dung"),
    "state_order": N_("Nhà nước đặt hàng"),
    "imported.print": N_("Báo in (nhập ngoài)"),
    "imported.airtime": N_("Phát sóng (nhập ngoài)"),
    "imported.other": N_("Khác (nhập ngoài)"),
    "pass_through": N_("Tiền thu hộ thiện nguyện"),
    "": N_("Không theo dòng"),
}

ACCOUNTS = {
    "receivable": N_("Phải thu khách hàng"),
    "cash_in_transit": N_("Tiền đang chuyển"),
    "bank": N_("Tiền gửi ngân hàng"),
    "output_vat": N_("Thuế GTGT đầu ra"),
    "deferred_revenue": N_("Doanh thu chưa thực hiện"),
    "revenue": N_("Doanh thu"),
    "deductions": N_("Giảm trừ doanh thu"),
    "fees": N_("Phí cổng thanh toán"),
    "suspense": N_("Tiền chờ xử lý"),
    "unbilled_delivery": N_("Đã giao, chưa lập hoá đơn"),
    "customer_advances": N_("Khách hàng trả trước"),
    "unused_credits": N_("Còn nợ khách hàng"),
    "disputed_cash": N_("Tiền đang tranh chấp"),
    "bad_debt": N_("Nợ khó đòi"),
    "barter_clearing": N_("Đối trừ hiện vật"),
    "in_kind_revenue": N_("Tài trợ hiện vật"),
    "in_kind_cost": N_("Chi phí bằng hiện vật"),
    "due_to": N_("Phải trả cơ quan khác"),
    "due_from": N_("Phải thu cơ quan khác"),
    "pass_through": N_("Thu hộ thiện nguyện"),
}

KINDS = {
    "invoice": N_("Ghi nợ theo hợp đồng"),
    "order": N_("Đơn đã ký"),
    "payment": N_("Thu tiền"),
    "day": N_("Ghi nhận trong ngày"),
    "recognition": N_("Ghi nhận bổ sung"),
    "delivery": N_("Ghi nhận theo giao hàng"),
    "credit": N_("Giảm trừ, hoàn dịch vụ"),
    "moved": N_("Đổi ngày ghi nhận"),
    "unapplied": N_("Tiền chưa khớp"),
    "refund": N_("Hoàn tiền"),
    "chargeback": N_("Tranh chấp thẻ"),
    "settlement": N_("Cổng thanh toán chuyển tiền"),
}

STATUSES = {
    "achieved": (N_("Đã đạt"), "success"),
    "on_track": (N_("Đúng tiến độ"), "success"),
    "at_risk": (N_("Có nguy cơ"), "warn"),
    "missed": (N_("Không đạt"), "danger"),
    "not_measurable": (N_("Chưa đo được"), "neutral"),
}

WHY = {
    "base_not_positive": N_("Năm gốc không có doanh thu."),
    "months_missing": N_("Thiếu sổ của một số tháng cần so sánh."),
    "coverage_unequal": N_("Hai kỳ không cùng phạm vi dòng doanh thu."),
}

WINDOWS = {
    "year_to_date": N_("Từ đầu năm"),
    "trailing_year": N_("12 tháng gần nhất"),
    "last_year": N_("Cả năm trước"),
    "this_year": N_("Năm nay so với cả năm trước"),
}

RAILS = {"vnpay": "VNPay", "stripe": "Stripe", "vietqr": "VietQR"}
MONTHS = (
    N_("T1"),
    N_("T2"),
    N_("T3"),
    N_("T4"),
    N_("T5"),
    N_("T6"),
    N_("T7"),
    N_("T8"),
    N_("T9"),
    N_("T10"),
    N_("T11"),
    N_("T12"),
)
"""The months, as short as a chart needs them."""
VIEWS = {"like_for_like": N_("So sánh tương đương (gộp tiền thân)"), "as_is": N_("Theo pháp nhân hiện nay")}


def account_label(request: Request, account: str) -> str:
    """`Tiền đang chuyển · VNPay`."""
    base, _, which = account.partition(":")
    label = translate(language_of(request), ACCOUNTS[base]) if base in ACCOUNTS else base
    return f"{label} · {RAILS.get(which, which)}" if which else label


def stream_label(request: Request, stream: str) -> str:
    return translate(language_of(request), STREAMS[stream]) if stream in STREAMS else stream


def kind_label(request: Request, kind: str) -> str:
    return translate(language_of(request), KINDS[kind]) if kind in KINDS else kind


def month_label(request: Request, months: tuple[int, ...]) -> str:
    """`T3`, `Mar`; of several months `T1–T2`, `Jan–Feb`."""
    return "–".join(translate(language_of(request), MONTHS[month - 1]) for month in months)


def agency_tabs(request: Request, agencies: list[Agency]) -> list[tuple[str, str]]:
    """The switch between agencies; it keeps the rest of the address as it is."""
    everything = translate(language_of(request), N_("Tất cả"))
    found = [("", everything), *((a.code, a.name) for a in agencies)]
    return [(at_agency(request, code), name) for code, name in found]


def at_agency(request: Request, agency: str) -> str:
    """The page of another agency, or of all: the rest of its question stays as it was."""
    path, query = place_of(request)
    # A place in a list is one of that list alone, and the language is kept elsewhere.
    kept = {name: value for name, value in query.items() if name not in ("agency", "cursor", "lang", "theme")}
    return address(path.rstrip("/"), {"agency": agency, **kept})


def signed(percent: float | None) -> str:
    """`+12,3 %`, or a dash where there is nothing to compare."""
    return "–" if percent is None else f"{percent:+.1f}\u00a0%".replace(".", ",")
