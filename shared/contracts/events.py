"""Facts that events publishes."""

from shared.contracts import base


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
