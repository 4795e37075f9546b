"""The door for people: readers' pages below /subscribe, the desk's below /desk/subscriptions."""

from services.subscriptions.pages import checkout, desk, mine

routes = [*checkout.routes, *mine.routes, *desk.routes]
