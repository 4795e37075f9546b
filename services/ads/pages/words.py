"""How states are named on pages, with the colour of their badge."""

from services.ads.queries.orders import OrderView
from shared.web import N_

STATUS = {
    "draft": (N_("Nháp"), "neutral"),
    "review": (N_("Chờ duyệt mẫu"), "info"),
    "refused": (N_("Mẫu bị từ chối"), "danger"),
    "payment": (N_("Chờ thanh toán"), "warn"),
    "expired": (N_("Quá hạn thanh toán"), "neutral"),
    "scheduled": (N_("Sắp chạy"), "info"),
    "live": (N_("Đang chạy"), "success"),
    "paused": (N_("Tạm dừng"), "warn"),
    "finished": (N_("Đã xong"), "neutral"),
    "cancelled": (N_("Đã hủy"), "neutral"),
}
CREATIVE = {
    "waiting": (N_("Chờ duyệt"), "info"),
    "approved": (N_("Đã duyệt"), "success"),
    "refused": (N_("Bị từ chối"), "danger"),
    "stopped": (N_("Đã dừng"), "danger"),
}
SECTIONS = {
    "thoi-su": N_("Thời sự"),
    "kinh-te": N_("Kinh tế"),
    "du-lich": N_("Du lịch"),
    "the-thao": N_("Thể thao"),
    "van-hoa": N_("Văn hóa"),
}
PLACEMENTS = {
    "home-top": N_("Đầu trang chủ"),
    "article-mid": N_("Giữa bài viết"),
    "section-top": N_("Đầu chuyên mục"),
    "article-bottom": N_("Cuối bài viết"),
}
CHECKS = {
    "truthful": N_("Nội dung đúng sự thật, không gây nhầm lẫn"),
    "allowed-goods": N_("Hàng hóa, dịch vụ được phép quảng cáo; đủ giấy xác nhận nếu cần"),
    "no-imitation": N_("Không giả làm tin bài hay thông báo hệ thống"),
    "readable": N_("Hình rõ, chữ đọc được, đúng kích thước"),
    "target-works": N_("Đã mở trang đích: chạy tốt và đúng với quảng cáo"),
}

BEACONS = {"i": N_("Hiển thị"), "v": N_("Xem được"), "c": N_("Bấm")}
REJECTIONS = {
    "bot": N_("Máy tự xưng là máy"),
    "no-agent": N_("Không xưng trình duyệt"),
    "prefetch": N_("Trình duyệt tải trước, chưa ai xem"),
    "forged": N_("Mã giả"),
    "expired": N_("Mã quá hạn"),
    "replay": N_("Mã đã dùng"),
    "no-view": N_("Chưa hiển thị mà đã báo"),
}

_STEP = {"draft": 2, "refused": 2, "review": 3, "payment": 4, "scheduled": 5, "live": 5, "paused": 5}


def step_of(order: OrderView) -> int:
    """Where an order stands among the five steps; 0 when it is over."""
    if order.status == "draft" and order.creatives:
        return 3
    return _STEP.get(order.status, 0)


def progress(order: OrderView) -> tuple[int, int]:
    """Impressions delivered and booked."""
    return sum(x.impressions for x in order.line_items), sum(x.goal for x in order.line_items)
