"""The map of the house's pages: every flat shows the same menus, so all agree on it here, as they do on facts."""

from shared.auth import Right
from shared.contracts.roles import AD_STAFF, EVENT_STAFF, OVERSEERS, STAFF, SUBSCRIPTION_STAFF
from shared.web.words import N_

NAVIGATION = {
    "reader": (
        ("/", N_("Trang báo")),
        ("/subscribe", N_("Gói đọc báo")),
        ("/events", N_("Sự kiện")),
        ("/advertise", N_("Quảng cáo")),
        ("/account", N_("Tài khoản")),
    ),
    "advertise": (
        ("/advertise", N_("Bảng giá")),
        ("/advertise/orders", N_("Đơn đặt quảng cáo")),
        ("/account", N_("Tài khoản")),
    ),
    "finance": (
        ("/finance", N_("Doanh thu")),
        ("/account", N_("Tài khoản")),
    ),
    "desk": (
        ("/desk", N_("Bàn việc")),
        ("/desk/find", N_("Tìm")),
        ("/desk/ads", N_("Quảng cáo")),
        ("/desk/subscriptions", N_("Thuê bao")),
        ("/desk/events", N_("Sự kiện")),
        ("/desk/payments", N_("Thanh toán")),
        ("/account", N_("Tài khoản")),
    ),
}
"""Links in the header, by the first part of the address; a page may pass its own `nav`."""

DOORS = {
    "/desk": Right(roles=frozenset(STAFF)),
    "/desk/find": Right(roles=frozenset(STAFF)),
    "/desk/ads": Right(roles={*AD_STAFF, "auditor"}),
    "/desk/subscriptions": Right(roles={*SUBSCRIPTION_STAFF, "finance", "auditor"}),
    "/desk/events": Right(roles={*EVENT_STAFF, "auditor"}),
    "/desk/payments": Right(roles=OVERSEERS),
    "/finance": Right(roles=OVERSEERS, scope="finance:read"),
}
"""The right that opens each door of staff's: a menu shows no door that would stay shut."""

SEARCHED = {
    "/desk/accounts": (N_("Người và tổ chức"), Right(roles=frozenset(STAFF))),
    "/desk/payments": (N_("Thanh toán"), Right(roles=frozenset(STAFF))),
    "/desk/subscriptions": (N_("Thuê bao"), Right(roles={"subscriptions", *OVERSEERS})),
    "/desk/events": (N_("Sự kiện"), Right(roles={"events", *OVERSEERS})),
    "/desk/ads": (N_("Quảng cáo"), Right(roles={"ad_ops", *OVERSEERS})),
}
"""Where one searches for a buyer, in the order of the page, and who may: sellers' staff what they sell and whatever
was paid, overseers all of it; each at the agencies where they hold the role."""
