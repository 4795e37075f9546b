"""Facts that ads publishes."""

from shared.contracts import base


class InvoiceOpened(base.InvoiceOpened, frozen=True, kw_only=True, tag="ads.invoice.opened.v1"):
    pass


class InvoiceWithdrawn(base.InvoiceWithdrawn, frozen=True, kw_only=True, tag="ads.invoice.withdrawn.v1"):
    pass


class CreditGranted(base.CreditGranted, frozen=True, kw_only=True, tag="ads.credit.granted.v1"):
    pass


class MessageRequested(base.MessageRequested, frozen=True, kw_only=True, tag="ads.message.requested.v1"):
    pass


class DeliveryRecorded(base.DeliveryRecorded, frozen=True, kw_only=True, tag="ads.delivery.recorded.v1"):
    pass


class MoneyTaken(base.MoneyTaken, frozen=True, kw_only=True, tag="ads.money.taken.v1"):
    pass


class MoneyDeclined(base.MoneyDeclined, frozen=True, kw_only=True, tag="ads.money.declined.v1"):
    pass


class RefundRefused(base.RefundRefused, frozen=True, kw_only=True, tag="ads.refund.refused.v1"):
    pass


class EarningMoved(base.EarningMoved, frozen=True, kw_only=True, tag="ads.earning.moved.v1"):
    pass


class OrderSigned(base.OrderSigned, frozen=True, kw_only=True, tag="ads.order.signed.v1"):
    pass


class DeliveryReversed(base.DeliveryReversed, frozen=True, kw_only=True, tag="ads.delivery.reversed.v1"):
    pass
