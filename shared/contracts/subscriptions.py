"""Facts that subscriptions publishes."""

from shared.contracts import base


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
