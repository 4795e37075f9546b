"""What programmers open first: the API of each service, and all refusals of the house with their reasons."""

from litestar import get
from litestar.response import Template

from shared.request import Request
from shared.web import N_, page
from shared.web.problems import REASONS, problems

APIS = (
    (
        "ads",
        N_("Quảng cáo"),
        N_("Xem giá, đặt, tải mẫu, theo dõi lượt hiển thị; và lấy quảng cáo cho trang báo."),
    ),
    ("events", N_("Sự kiện"), N_("Sự kiện, vé, gói tài trợ và quyền lợi của nhà tài trợ.")),
    (
        "subscriptions",
        N_("Bạn đọc"),
        N_("Gói đọc báo, thuê bao, và câu hỏi “người này đọc được bài này không?”."),
    ),
    ("accounts", N_("Tài khoản"), N_("Đăng ký nhà quảng cáo và nhà tài trợ, khóa API, cơ quan báo chí.")),
    ("payments", N_("Thanh toán"), N_("Tiền đã nhận, hoàn tiền, cách trả.")),
    ("ledger", N_("Doanh thu"), N_("Sổ doanh thu, cân đối, tăng trưởng so với mục tiêu.")),
)
"""Service, what it is called, and what a program does there; those that strangers use come first."""


@get("/docs", include_in_schema=False, sync_to_thread=False)
def show_docs(request: Request) -> Template:
    """Where a programmer begins."""
    return page(request, "accounts_docs.html", apis=APIS, base=request.app.state.settings.base_url)


@get("/docs/problems", include_in_schema=False, sync_to_thread=False)
def show_problems(request: Request) -> Template:
    """What the `type` of each problem+json leads to."""
    return page(request, "accounts_problems.html", problems=problems(), reasons=REASONS)


routes = [show_docs, show_problems]
