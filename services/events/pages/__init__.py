"""The door for people: events for everybody, forms for sponsors and runners, the desk for staff."""

from services.events.pages import desk, gate, public, runner, sponsor

routes = [*public.routes, *sponsor.routes, *runner.routes, *desk.routes, *gate.routes]
