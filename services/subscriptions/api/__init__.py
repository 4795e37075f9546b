"""The JSON door: packages, subscriptions, walls, access checks."""

from services.subscriptions.api import access, catalogue, contracts, walls

routes = [*access.routes, *catalogue.routes, *contracts.routes, *walls.routes]
