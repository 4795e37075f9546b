"""What the pages call reader groups, rules and standings, and the desk its parts."""

from typing import Any

from shared.request import Request
from shared.web import N_, language_of, translate

DESK = "/desk/subscriptions"
WALLS = f"{DESK}/policies"
TABS = [(DESK, N_("Bạn đọc có gói")), (WALLS, N_("Tường đọc"))]
GROUPS = {
    "general": N_("Bạn đọc"),
    "student": N_("Học sinh, sinh viên"),
    "pensioner": N_("Người hưu trí"),
    "teacher": N_("Giáo viên"),
    "business": N_("Doanh nghiệp"),
    "hotel": N_("Khách sạn"),
    "overseas": N_("Bạn đọc ở nước ngoài"),
    "remote": N_("Xã vùng sâu, hải đảo"),
}
GROUP_NOTES = {
    "student": N_("Tôi là học sinh hoặc sinh viên và sẽ xuất trình thẻ khi được hỏi."),
    "pensioner": N_("Tôi đang hưởng lương hưu và sẽ xuất trình giấy tờ khi được hỏi."),
    "teacher": N_("Tôi là giáo viên và sẽ xuất trình giấy tờ khi được hỏi."),
    "business": N_("Tôi mua cho doanh nghiệp của mình."),
    "hotel": N_("Tôi mua cho khách sạn của mình."),
    "overseas": N_("Tôi sống ở nước ngoài."),
    "remote": N_("Tôi sống ở xã vùng sâu hoặc hải đảo."),
}
STANDINGS = {
    "incomplete": (N_("Chờ thanh toán"), "warn"),
    "active": (N_("Đang đọc"), "success"),
    "upcoming": (N_("Sắp bắt đầu"), "info"),
    "ended": (N_("Đã hết hạn"), "neutral"),
    "unpaid": (N_("Chưa thanh toán"), "neutral"),
    "returned": (N_("Đã hoàn tiền"), "neutral"),
}
COLLECTIONS = {
    "open": (N_("Chờ thanh toán"), "warn"),
    "paid": (N_("Đã trả"), "success"),
    "withdrawn": (N_("Đã rút"), "neutral"),
    "expired": (N_("Hết hạn"), "neutral"),
}
RULES = {
    "free": N_("Đọc tự do"),
    "registration": N_("Cần đăng nhập"),
    "metered": N_("Đếm lượt"),
    "hard": N_("Chỉ bạn đọc có gói"),
}


def title_of(request: Request, thing: Any) -> str:
    """A package's title in the reader's language."""
    return str(thing.title_en if language_of(request) == "en" else thing.title)


def tabs_of(request: Request) -> list[tuple[str, str]]:
    """The parts of the desk, in the reader's language."""
    return [(href, translate(language_of(request), label)) for href, label in TABS]
