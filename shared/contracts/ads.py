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
