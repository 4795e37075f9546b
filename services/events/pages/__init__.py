"""The door for people: events for everybody, forms for sponsors and runners, the desk for staff."""

from services.events.pages import catalogue, desk, find, gate, registrations, sponsorships

routes = [
    *catalogue.routes,
    *sponsorships.routes,
    *registrations.routes,
    *desk.routes,
    *find.routes,
    *gate.routes,
]
