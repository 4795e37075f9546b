"""The JSON door: packages, subscriptions, walls, access checks."""

from services.subscriptions.api import access, catalogue, subscriptions, walls

routes = [*access.routes, *catalogue.routes, *subscriptions.routes, *walls.routes]
