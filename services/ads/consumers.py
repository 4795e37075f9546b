"""Facts that ads acts on: what payments says of its orders' invoices."""

from services.ads.actions.orders import ORDER
from shared import selling
from shared.consume import Consumer

consumer = Consumer("ads")
KINDS = selling.listen(consumer, ORDER)
