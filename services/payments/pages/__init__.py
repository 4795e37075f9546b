"""The doors for people: paying, and the desk where staff look after money."""

from services.payments.pages import desk, find, pay

routes = [*pay.routes, *desk.routes, *find.routes]
