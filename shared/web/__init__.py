"""The design system: one base page, one set of parts, two languages, for every page of the house."""

from shared.web.assets import static, static_router
from shared.web.page import component_routes, language_of, page, template_config
from shared.web.words import N_, translate, translate_n

__all__ = [
    "N_",
    "component_routes",
    "language_of",
    "page",
    "static",
    "static_router",
    "template_config",
    "translate",
    "translate_n",
]
