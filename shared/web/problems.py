"""What an error page tells a reader: one sentence about what happened and one about what to do."""

import re
from functools import cache
from http import HTTPStatus
from pathlib import Path

import msgspec

from shared.web.words import N_

EXPLANATIONS = {
    400: (
        N_("Chúng tôi không đọc được yêu cầu này"),
        N_("Hãy quay lại trang trước, kiểm tra những gì đã nhập rồi gửi lại."),
    ),
    401: (
        N_("Bạn cần đăng nhập"),
        N_("Hãy đăng nhập rồi mở lại trang này; những gì bạn đã trả tiền vẫn còn nguyên."),
    ),
    403: (
        N_("Bạn không có quyền mở trang này"),
        N_("Nếu biểu mẫu mở đã lâu, hãy tải lại trang rồi gửi lại; nếu không, hãy đổi tài khoản."),
    ),
    404: (
        N_("Không tìm thấy trang này"),
        N_("Địa chỉ có thể đã đổi hoặc gõ nhầm. Hãy về trang đầu và tìm từ đó."),
    ),
    405: (
        N_("Trang này không nhận thao tác đó"),
        N_("Hãy quay lại trang trước và dùng các nút trên trang."),
    ),
    409: (
        N_("Yêu cầu này không thực hiện được lúc này"),
        N_("Chưa có gì thay đổi và bạn chưa bị trừ tiền. Hãy xem lý do bên dưới rồi chọn cách khác."),
    ),
    410: (
        N_("Đường dẫn này đã hết hạn"),
        N_("Hãy xin đường dẫn mới ở nơi bạn đã nhận nó, hoặc mở mục của bạn trên trang."),
    ),
    412: (
        N_("Có người vừa sửa mục này trước bạn"),
        N_("Hãy tải lại trang để xem bản mới nhất rồi sửa lại."),
    ),
    413: (
        N_("Tệp hoặc nội dung gửi lên quá lớn"),
        N_("Hãy gửi bản nhỏ hơn; giới hạn được ghi cạnh ô chọn tệp."),
    ),
    422: (
        N_("Có chỗ trong biểu mẫu chưa hợp lệ"),
        N_("Hãy quay lại, sửa chỗ được nêu bên dưới rồi gửi lại."),
    ),
    429: (
        N_("Quá nhiều yêu cầu trong một lúc"),
        N_("Hãy đợi một phút rồi thử lại."),
    ),
    500: (
        N_("Máy chủ gặp lỗi ngoài dự kiến"),
        N_("Lỗi đã được ghi lại. Hãy thử lại sau ít phút; nếu đã trả tiền, đừng trả lần nữa."),
    ),
    503: (
        N_("Một phần của hệ thống đang tạm vắng"),
        N_("Không có gì bị mất. Hãy thử lại sau một phút."),
    ),
}

REASONS = {
    "agency-closed": "Cơ quan này đã nhập vào cơ quan khác; việc mới do cơ quan kế tục nhận.",
    "agency-known": "Đã có cơ quan mang mã này.",
    "already-concluded": "Lần thanh toán này đã có kết quả.",
    "already-delivered": "Quyền lợi này đã có minh chứng.",
    "already-in": "Vé này đã được dùng để vào cổng.",
    "already-lived": "Hệ thống đã có lịch sử; không dựng thêm lịch sử thứ hai.",
    "already-proposed": "Đã có người đề nghị về việc này; đề nghị đó được quyết định trước.",
    "not-offered": "Tiền này không chờ bên bán nào trả lời.",
    "not-theirs": "Phiếu này là của bên bán khác.",
    "opened-otherwise": "Phiếu này đã được lập với nội dung hoặc số tiền khác.",
    "offer-open": "Tiền đến muộn đang chờ bên bán trả lời; bàn thanh toán chưa được động tới.",
    "already-paid": "Phiếu này đã được trả đủ, bạn không phải trả thêm.",
    "already-reviewed": "Mẫu quảng cáo này đã có người duyệt trước đó.",
    "already-shown": "Số tiền muốn trả lại lớn hơn phần chưa hiển thị.",
    "already-subscribed": "Bạn đang có kỳ đọc của gói này, hoặc kỳ sắp tới đã trả tiền.",
    "attempt-under-way": "Lần thanh toán trước còn đang chờ ngân hàng trả lời; hãy đợi kết quả rồi mới trả lần nữa.",
    "bad-click-url": "Địa chỉ mở khi bấm vào quảng cáo không dùng được.",
    "bad-flight": "Không bán được quảng cáo cho những ngày này.",
    "bad-signature": "Chữ ký của thông báo không khớp.",
    "bad-target": "Không có trang nào của báo khớp với lựa chọn này.",
    "below-sold": "Sức chứa không thể nhỏ hơn số đã giữ và đã bán.",
    "budget-too-small": "Ngân sách này nhỏ hơn mức tối thiểu của một đơn.",
    "cancelled": "Đơn, vé hoặc gói này đã hủy.",
    "code-taken": "Đã có gói mang mã này.",
    "common-password": "Mật khẩu này quá dễ đoán: nó phổ biến, hoặc ghép từ tên hay địa chỉ của bạn.",
    "disputed": "Ngân hàng đang tra soát, hoặc đã đòi lại số tiền này; không hoàn thêm lần nữa.",
    "email-taken": "Hộp thư hoặc số điện thoại này thuộc về tài khoản khác.",
    "expired": "Đã quá hạn trả phiếu này.",
    "flight-over": "Tiền đến khi đợt chạy đã kết thúc.",
    "held-unpaid": "Bạn đang giữ vé hoặc gói chưa thanh toán. Hãy thanh toán, hoặc chờ hết hạn giữ rồi đặt tiếp.",
    "image-too-large": "Ảnh quá nặng hoặc quá lớn.",
    "industry-taken": "Ngành hàng này đã có nhà tài trợ độc quyền của sự kiện.",
    "key-missing": "Biểu mẫu này thiếu mã của lần gửi; hãy tải lại trang rồi gửi lại.",
    "key-reused": "Biểu mẫu này đã được gửi trước đó với nội dung khác; hãy tải lại trang rồi gửi lại.",
    "later-paid": "Một đợt sau của tài trợ đã được trả; hãy trả lại đợt đó trước.",
    "let-go": "Bạn, hoặc người mới cùng mạng, vừa giữ mà không thanh toán. Hãy chờ để người khác có lượt.",
    "link-expired": "Đường dẫn đã hết hạn; hãy xin đường dẫn mới ở nơi bạn đã nhận nó.",
    "no-day": "Có ô ngày tháng chưa đúng.",
    "no-such-placement": "Cơ quan này không bán vị trí đó.",
    "not-a-whole-number": "Hãy viết số liền, hoặc chấm từng nhóm ba chữ số: 5000000 hoặc 5.000.000, không số lẻ.",
    "not-an-image": "Tệp này không phải ảnh tĩnh thuộc loại được nhận.",
    "not-awaited": "Việc này không chờ thao tác đó.",
    "not-cancellable": "Đơn này không hủy được nữa.",
    "not-on-sale": "Hôm nay gói hoặc mức giá này không bán.",
    "not-paid": "Vé chưa có số áo vì đơn chưa được trả tiền.",
    "not-submittable": "Đơn chưa đủ để gửi duyệt.",
    "nothing-came": "Chưa có tiền nào đến cho phiếu này.",
    "nothing-held": "Lần thanh toán này không chờ ai quyết định.",
    "nothing-to-cancel": "Gói đã hết hoặc đã được hủy trước đó.",
    "order-cancelled": "Đơn đã hủy trước khi tiền đến.",
    "order-closed": "Đơn này không nhận thêm mẫu quảng cáo.",
    "other-amount": "Số tiền đến khác số còn phải trả.",
    "over-refunded": "Số tiền hoàn lớn hơn số đã nhận.",
    "overcredited": "Số trả lại lớn hơn số đã bán.",
    "phone-taken": "Số điện thoại này thuộc về tài khoản khác.",
    "price-changed": "Giá đã đổi so với lúc bạn xem; hãy xem giá mới rồi đồng ý lại. Bạn chưa bị trừ tiền.",
    "price-stands": "Đã có giá kể từ ngày đó; giá đã đặt thì không sửa.",
    "rail-off": "Cơ quan này chưa bật cách trả tiền đó.",
    "reset-needs-another": "Cần một người khác duyệt việc cấp lại này.",
    "sales-closed": "Sự kiện đã ngừng bán.",
    "same-person": "Người duyệt phải khác người đề nghị.",
    "service-runs": "Dịch vụ đang chạy; việc này chỉ làm được khi dịch vụ đã dừng.",
    "slug-taken": "Đã có sự kiện dùng địa chỉ này.",
    "sold-out": "Đã hết, hoặc không còn đủ số bạn cần.",
    "still-with-seller": "Bên bán vẫn có thể trả lời khoản hoàn đã thôi chờ của phiếu này; hoàn nữa sẽ thành hai lần.",
    "subscription-cancelled": "Gói này đã được hủy, nên không có kỳ nào mở thêm.",
    "terms-not-accepted": "Bạn chưa đồng ý với điều khoản, hoặc chưa xác nhận nhóm được hưởng giá.",
    "unpayable": "Yêu cầu thanh toán mâu thuẫn với những gì đã gửi.",
    "withdrawn": "Bên bán đã rút phiếu này, bạn không phải trả nữa.",
    "works-elsewhere": "Người này còn làm ở tòa soạn khác: chỉ ai quản trị cả các tòa soạn đó mới làm được việc này.",
    "wrong-size": "Không có vị trí nào trong đơn vừa với kích thước ảnh này.",
}
"""Why a refusal happened, in Vietnamese, by its code: said where `locale/vi.po` has no words for its own sentence."""


WAYS = (
    (HTTPStatus.GONE, "/events/", "/events/mine", N_("Vé và tài trợ của tôi")),
    (HTTPStatus.GONE, "/account/join", "/account/sign-in", N_("Đăng nhập")),
    (HTTPStatus.GONE, "/pay/", "/account", N_("Tài khoản của tôi")),
    (
        HTTPStatus.FORBIDDEN,
        "/advertise/",
        "/account/organisation?kind=advertiser",
        N_("Đăng ký nhà quảng cáo"),
    ),
    (HTTPStatus.FORBIDDEN, "/", "/account", N_("Tài khoản của tôi")),
    (HTTPStatus.NOT_FOUND, "/desk/", "/desk", N_("Bàn việc")),
    (HTTPStatus.NOT_FOUND, "/finance/", "/finance", N_("Doanh thu")),
    (HTTPStatus.NOT_FOUND, "/advertise/", "/advertise/orders", N_("Đơn đặt quảng cáo")),
    (HTTPStatus.NOT_FOUND, "/events/", "/events", N_("Xem sự kiện")),
    (HTTPStatus.NOT_FOUND, "/subscribe/", "/subscribe", N_("Gói đọc báo")),
)
"""Status, beginning of the address, and where to go on from there, with the words of the link."""


def way_on(status: int, path: str) -> tuple[str, str]:
    """Where an error page leads, and how the link reads; nothing where only the first page is left."""
    return next(
        ((to, label) for s, start, to, label in WAYS if s == status and path.startswith(start)), ("", "")
    )


class Problem(msgspec.Struct, frozen=True):
    """One kind of refusal, as a programmer looks it up."""

    code: str
    status: int
    service: str
    when: str


_ROW = re.compile(r"^\| `([a-z-]+)` \| (\d{3}) \| (.+?) \| (.+) \|$", re.MULTILINE)


@cache
def problems() -> list[Problem]:
    """All refusals, read from the table in `problems.md`."""
    text = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    return [Problem(code, int(status), service, when) for code, status, service, when in _ROW.findall(text)]


def reason(lang: str, code: str) -> str:
    """Why something was refused, in the reader's language; a code that nobody lists reads as itself."""
    if lang == "vi":
        return REASONS.get(code, code)
    return next((known.when for known in problems() if known.code == code), code)


def explain(status: int) -> tuple[str, str]:
    """(what happened, what to do) for a status; one without words of its own speaks as its class."""
    return EXPLANATIONS.get(status) or EXPLANATIONS[500 if status >= 500 else 400]  # noqa: PLR2004
