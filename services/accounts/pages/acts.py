"""How the audit trail reads: acts, and what they changed from what to what, in words."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from services.accounts.pages.words import ROLES
from shared.contracts.acts import Act
from shared.web import N_, translate
from shared.web.formats import day, moment, money, number

ACTS: dict[Act, str] = {
    "advertiser.register": N_("Nhà quảng cáo mới đăng ký"),
    "agency.register": N_("Lập cơ quan báo chí"),
    "agency.succeed": N_("Cơ quan khác kế tục"),
    "event.create": N_("Mở sự kiện"),
    "event.edit": N_("Sửa sự kiện"),
    "event.price": N_("Đổi giá hoặc số lượng của sự kiện"),
    "finding.agree": N_("Đồng ý kết quả tra một khoản hoàn"),
    "finding.propose": N_("Báo kết quả tra một khoản hoàn"),
    "finding.reject": N_("Không đồng ý kết quả tra một khoản hoàn"),
    "finding.withdraw": N_("Rút lại kết quả tra một khoản hoàn"),
    "held.agree": N_("Đồng ý về khoản tiền bị nghi ngờ"),
    "held.propose": N_("Đề nghị về khoản tiền bị nghi ngờ"),
    "held.reject": N_("Không đồng ý về khoản tiền bị nghi ngờ"),
    "held.withdraw": N_("Rút lại đề nghị về khoản tiền bị nghi ngờ"),
    "key.make": N_("Tạo khóa API"),
    "key.revoke": N_("Thu hồi khóa API"),
    "package.offer": N_("Bán gói đọc mới"),
    "package.price": N_("Đặt giá gói đọc"),
    "password.change": N_("Đổi mật khẩu"),
    "person.invite": N_("Mời người mới"),
    "rail.agree": N_("Đồng ý bật hoặc tắt một cách trả"),
    "rail.propose": N_("Đề nghị bật hoặc tắt một cách trả"),
    "rail.reject": N_("Không đồng ý bật hoặc tắt một cách trả"),
    "rail.withdraw": N_("Rút lại đề nghị bật hoặc tắt một cách trả"),
    "refund.approve": N_("Duyệt hoàn tiền"),
    "refund.ask": N_("Yêu cầu hoàn tiền"),
    "refund.drop": N_("Thôi chờ bên bán về một khoản hoàn"),
    "refund.reject": N_("Không duyệt hoàn tiền"),
    "refund.renew": N_("Gửi lại khoản hoàn"),
    "refund.withdraw": N_("Rút lại yêu cầu hoàn tiền"),
    "role.grant": N_("Thêm vai trò"),
    "role.set": N_("Đặt lại vai trò"),
    "session.open": N_("Đăng nhập"),
    "sponsor.register": N_("Nhà tài trợ mới đăng ký"),
    "totp.enrol": N_("Bật mã xác thực"),
    "totp.recovery": N_("Dùng mã khôi phục"),
    "totp.recovery.renew": N_("Tạo lại mã khôi phục"),
    "totp.reset.approve": N_("Duyệt việc gỡ mã xác thực"),
    "totp.reset.ask": N_("Yêu cầu gỡ mã xác thực"),
    "totp.reset.end": N_("Gỡ xong mã xác thực"),
}

SUBJECTS = {
    "event": (N_("Sự kiện"), False),
    "finding": (N_("Khoản hoàn"), True),
    "held": (N_("Lần trả"), True),
    "key": (N_("Khóa"), False),
    "package": (N_("Gói đọc"), False),
    "refund": (N_("Khoản hoàn"), True),
    "session": (N_("Phiên"), False),
}
"""What acts are about where that is no person, by the first word of the act; and whether the desk's search finds it."""

NAMES = {
    "amount_vnd": N_("Số tiền"),
    "capacity": N_("Số lượng"),
    "charity": N_("Vì cộng đồng"),
    "device": N_("Thiết bị"),
    "good": N_("Kết quả"),
    "key": N_("Bằng khóa"),
    "kind": N_("Loại"),
    "name": N_("Tên"),
    "on": N_("Từ ngày"),
    "on_sale_from": N_("Bán từ ngày"),
    "place": N_("Nơi"),
    "price_vnd": N_("Giá chưa thuế"),
    "prices_vnd": N_("Giá chưa thuế"),
    "roles": N_("Vai trò"),
    "sales_end_at": N_("Bán đến"),
    "scopes": N_("Quyền"),
    "since": N_("Từ ngày"),
    "starts_at": N_("Bắt đầu"),
    "successor": N_("Cơ quan kế tục"),
    "summary": N_("Giới thiệu"),
    "title": N_("Tên"),
    "what": N_("Về"),
}
"""What an act tells, by its name in the fact."""

MOMENTS, DAYS = ("starts_at", "sales_end_at"), ("on", "since", "on_sale_from")
YES, NO = N_("Có"), N_("Không")
KINDS = {
    "newspaper": N_("Báo"),
    "magazine": N_("Tạp chí"),
    "broadcaster": N_("Đài phát thanh, truyền hình"),
    "converged": N_("Báo và phát thanh, truyền hình"),
}


def changes(lang: str, before: Any, after: Any) -> list[tuple[str, str, str]]:
    """What an act changed: its name, what stood before where something did, and what stands; all in words."""
    old, new = _named(before), _named(after)
    return [
        (
            translate(lang, NAMES.get(name, name)),
            _word(lang, name, old.get(name)),
            _word(lang, name, new.get(name)),
        )
        for name in dict.fromkeys([*new, *old])
    ]


_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_opaque(text: str) -> bool:
    """Whether a text is an id that tells people nothing."""
    return _ID.fullmatch(text) is not None


def shortened(opaque: str) -> str:
    """An opaque id, as short as people can compare it."""
    return f"…{opaque[-8:]}"


def _named(side: Any) -> Mapping[str, Any]:
    """Roles are told as a list alone."""
    return side if isinstance(side, dict) else {"roles": side} if side is not None else {}


def _word(lang: str, name: str, value: Any) -> str:
    match value:
        case None:
            said = ""
        case bool():
            said = translate(lang, YES if value else NO)
        case dict():
            said = "; ".join(f"{key}: {_word(lang, name, each)}" for key, each in value.items())
        case list():
            said = ", ".join(_word(lang, name, each) for each in value) or "–"
        case int():
            said = money(value) if name.endswith("_vnd") else number(value)
        case _ if name in MOMENTS:
            said = moment(msgspec.convert(value, datetime))
        case _ if name in DAYS:
            said = day(msgspec.convert(value, date))
        case str() if is_opaque(value):
            said = shortened(value)
        case _:
            known = {"roles": ROLES, "kind": KINDS}.get(name, {})
            said = translate(lang, known[value]) if value in known else str(value)
    return said
