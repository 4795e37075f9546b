"""Legal pages of the sample newspaper, as a press agency in Viet Nam has to publish them."""
# ruff: noqa: E501 - a paragraph is one line, as translators find it

from shared.web import N_

LEGAL = {
    "owner": (
        N_("Chủ quản"),
        (
            N_(
                "Đây là tờ báo mẫu đi kèm nền tảng Nguồn Thu. Mọi bài viết, nhân vật và sự kiện đều do nhóm phát triển viết ra."
            ),
            N_(
                "Khi dùng thật, trang này ghi cơ quan chủ quản, giấy phép hoạt động báo chí, người chịu trách nhiệm nội dung, trụ sở, điện thoại và hộp thư của tòa soạn."
            ),
        ),
    ),
    "terms": (
        N_("Điều khoản và giá"),
        (
            N_(
                "Giá gói đọc báo và vé là giá phải trả, đã gồm thuế. Trước khi thanh toán, bạn thấy toàn bộ số tiền; hợp đồng đọc báo đọc và in được trước khi đồng ý."
            ),
            N_(
                "Gói đọc báo chỉ tự gia hạn khi bạn chọn; chúng tôi nhắc trước 7 ngày và 1 ngày, và bạn hủy bằng một lần bấm."
            ),
            N_("Quảng cáo được xét duyệt trước khi đăng và luôn mang chữ “Quảng cáo”."),
        ),
    ),
    "refunds": (
        N_("Hoàn tiền"),
        (
            N_("Hủy giữa kỳ, bạn được trả lại phần chưa dùng, tính theo ngày. Tiền về đúng nơi đã trả."),
            N_(
                "Nếu ngân hàng đã trừ tiền mà gói chưa mở, đừng trả lần nữa: hệ thống tự đối chiếu và mở gói hoặc hoàn tiền."
            ),
        ),
    ),
    "privacy": (
        N_("Dữ liệu cá nhân"),
        (
            N_(
                "Chúng tôi chỉ dùng dữ liệu cho mục đích bạn đã đồng ý, từng mục một; bạn xem và rút lại trong tài khoản."
            ),
            N_(
                "Để đếm số bài miễn phí, máy chủ giữ một mã thiết bị đã ký và danh sách bài đã mở trong tháng, rồi xóa khi hết kỳ."
            ),
            N_(
                "Luật cho bạn quyền xem, xuất và yêu cầu xóa dữ liệu. Báo mẫu không có tòa soạn; khi dùng thật, trang này ghi nơi nhận yêu cầu và thời hạn trả lời."
            ),
        ),
    ),
    "complaints": (
        N_("Khiếu nại"),
        (
            N_(
                "Báo mẫu không có tòa soạn nên không nhận khiếu nại. Khi dùng thật, trang này ghi địa chỉ, điện thoại và hộp thư nhận khiếu nại; hãy kèm mã đơn, hoặc mã lỗi nếu trang báo lỗi."
            ),
            N_(
                "Quảng cáo sai phạm được nhân viên quảng cáo dừng ngay trên mọi trang, kèm lý do cho nhà quảng cáo."
            ),
        ),
    ),
}
"""By the last part of the address: title and paragraphs."""
