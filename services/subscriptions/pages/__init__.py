"""The door for people: readers' pages below /subscribe, the desk's below /desk/subscriptions."""

from services.subscriptions.pages import checkout, desk, find, subscriptions, walls

routes = [*checkout.routes, *subscriptions.routes, *desk.routes, *walls.routes, *find.routes]
