"""Facts that subscriptions publishes."""

from shared.contracts import acts, base


class InvoiceOpened(base.InvoiceOpened, frozen=True, kw_only=True, tag="subscriptions.invoice.opened.v1"):
    pass


class InvoiceWithdrawn(
    base.InvoiceWithdrawn, frozen=True, kw_only=True, tag="subscriptions.invoice.withdrawn.v1"
):
    pass


class CreditGranted(base.CreditGranted, frozen=True, kw_only=True, tag="subscriptions.credit.granted.v1"):
    pass


class MessageRequested(
    base.MessageRequested, frozen=True, kw_only=True, tag="subscriptions.message.requested.v1"
):
    pass


class DeliveryRecorded(
    base.DeliveryRecorded, frozen=True, kw_only=True, tag="subscriptions.delivery.recorded.v1"
):
    pass


class MoneyTaken(base.MoneyTaken, frozen=True, kw_only=True, tag="subscriptions.money.taken.v1"):
    pass


class MoneyDeclined(base.MoneyDeclined, frozen=True, kw_only=True, tag="subscriptions.money.declined.v1"):
    pass


class RefundRefused(base.RefundRefused, frozen=True, kw_only=True, tag="subscriptions.refund.refused.v1"):
    pass


class EarningMoved(base.EarningMoved, frozen=True, kw_only=True, tag="subscriptions.earning.moved.v1"):
    pass


class OrderSigned(base.OrderSigned, frozen=True, kw_only=True, tag="subscriptions.order.signed.v1"):
    pass


class DeliveryReversed(
    base.DeliveryReversed, frozen=True, kw_only=True, tag="subscriptions.delivery.reversed.v1"
):
    pass


class ActRecorded(base.ActRecorded, frozen=True, kw_only=True, tag="subscriptions.act.recorded.v1"):
    act: acts.Subscriptions
