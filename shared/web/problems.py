"""What an error page tells a reader: one sentence about what happened and one about what to do."""

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


def explain(status: int) -> tuple[str, str]:
    """(what happened, what to do) for a status; one without words of its own speaks as its class."""
    return EXPLANATIONS.get(status) or EXPLANATIONS[500 if status >= 500 else 400]  # noqa: PLR2004
