"""Facts that events publishes."""

from shared.contracts import acts, base


class InvoiceOpened(base.InvoiceOpened, frozen=True, kw_only=True, tag="events.invoice.opened.v1"):
    pass


class InvoiceWithdrawn(base.InvoiceWithdrawn, frozen=True, kw_only=True, tag="events.invoice.withdrawn.v1"):
    pass


class CreditGranted(base.CreditGranted, frozen=True, kw_only=True, tag="events.credit.granted.v1"):
    pass


class MessageRequested(base.MessageRequested, frozen=True, kw_only=True, tag="events.message.requested.v1"):
    pass


class DeliveryRecorded(base.DeliveryRecorded, frozen=True, kw_only=True, tag="events.delivery.recorded.v1"):
    pass


class MoneyTaken(base.MoneyTaken, frozen=True, kw_only=True, tag="events.money.taken.v1"):
    pass


class MoneyDeclined(base.MoneyDeclined, frozen=True, kw_only=True, tag="events.money.declined.v1"):
    pass


class RefundRefused(base.RefundRefused, frozen=True, kw_only=True, tag="events.refund.refused.v1"):
    pass


class EarningMoved(base.EarningMoved, frozen=True, kw_only=True, tag="events.earning.moved.v1"):
    pass


class OrderSigned(base.OrderSigned, frozen=True, kw_only=True, tag="events.order.signed.v1"):
    pass


class DeliveryReversed(base.DeliveryReversed, frozen=True, kw_only=True, tag="events.delivery.reversed.v1"):
    pass


class ActRecorded(base.ActRecorded, frozen=True, kw_only=True, tag="events.act.recorded.v1"):
    act: acts.Events
