"""How roles, states and tabs are called on the pages of accounts."""

from collections.abc import Iterable

from services.accounts.pages.rights import may_manage_people
from services.accounts.rules import CommonPassword
from shared.auth import Principal
from shared.errors import Refused
from shared.request import Request
from shared.web import N_, language_of, translate

ROLES = {
    "reader": N_("Bạn đọc"),
    "advertiser": N_("Nhà quảng cáo"),
    "sponsor": N_("Nhà tài trợ"),
    "ad_ops": N_("Vận hành quảng cáo"),
    "subscriptions": N_("Thuê bao"),
    "events": N_("Sự kiện"),
    "finance": N_("Tài chính"),
    "finance_approver": N_("Duyệt tài chính"),
    "administrator": N_("Quản trị"),
    "auditor": N_("Kiểm toán (chỉ đọc)"),
}

WEAK = N_("Mật khẩu cần ít nhất 14 ký tự, hoặc 8 ký tự đối với nhân viên có mã xác thực.")
COMMON = N_(
    "Mật khẩu này quá dễ đoán: nó phổ biến, hoặc ghép từ tên, địa chỉ hay số điện thoại của bạn. Hãy dùng một câu khác."
)

STATES = {
    "queued": (N_("Đang chờ"), "info"),
    "sent": (N_("Đã gửi"), "success"),
    "capped": (N_("Quá hạn mức ngày"), "warn"),
    "bounced": (N_("Địa chỉ từ chối"), "danger"),
    "unaddressed": (N_("Chưa ai xác nhận địa chỉ"), "warn"),
    "failed": (N_("Không gửi được"), "danger"),
}


def said(request: Request, roles: Iterable[str]) -> str:
    """Roles in words."""
    lang = language_of(request)
    return ", ".join(translate(lang, ROLES[role]) for role in roles)


def state_of(request: Request, state: str) -> tuple[str, str]:
    """A message's state as a badge."""
    text, kind = STATES[state]
    return translate(language_of(request), text), kind


def account_tabs(request: Request, principal: Principal) -> list[tuple[str, str]]:
    lang = language_of(request)
    tabs = [
        ("/account", translate(lang, "Tài khoản")),
        ("/account/security", translate(lang, "Bảo mật")),
        ("/account/consents", translate(lang, "Sự đồng ý")),
    ]
    if principal.organisation:
        tabs.append(("/account/keys", translate(lang, "Khóa API")))
    return tabs


def people_tabs(request: Request, principal: Principal) -> list[tuple[str, str]]:
    lang = language_of(request)
    tabs = [("/desk/audit", translate(lang, "Nhật ký")), ("/desk/messages", translate(lang, "Thư đã gửi"))]
    if may_manage_people.agencies(principal):
        tabs = [
            ("/desk/people", translate(lang, "Nhân sự")),
            ("/desk/keys", translate(lang, "Khóa máy chủ")),
            *tabs,
        ]
    return tabs


def no_password(refusal: Refused) -> str:
    """Why a new password is none, at the field where it was typed."""
    return COMMON if isinstance(refusal, CommonPassword) else WEAK
