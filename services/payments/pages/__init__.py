"""The doors for people: paying, and the desk where staff look after money."""

from services.payments.pages import attempts, captures, find, pay, rails, refunds

routes = [
    *pay.routes,
    *captures.routes,
    *attempts.routes,
    *refunds.routes,
    *rails.routes,
    *find.routes,
]
