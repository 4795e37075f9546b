"""Every read of the events service, as Structs."""

from services.events.queries.catalogue import (
    EventView,
    Left,
    SellableView,
    event,
    event_by_id,
    event_of_staff,
    events,
    package,
    sellables,
)
from services.events.queries.desk import DeskView, RecountView, desk, recounts
from services.events.queries.registrations import (
    EntrantView,
    RegistrationView,
    check_in_count,
    entrant,
    entrant_by_bib,
    last_in,
    registration,
)
from services.events.queries.sponsorships import (
    PartView,
    PromiseView,
    SponsorshipView,
    sponsor_names,
    sponsorship,
    sponsorships_at,
    sponsorships_of,
)

__all__ = [
    "DeskView",
    "EntrantView",
    "EventView",
    "Left",
    "PartView",
    "PromiseView",
    "RecountView",
    "RegistrationView",
    "SellableView",
    "SponsorshipView",
    "check_in_count",
    "desk",
    "entrant",
    "entrant_by_bib",
    "event",
    "event_by_id",
    "event_of_staff",
    "events",
    "last_in",
    "package",
    "recounts",
    "registration",
    "sellables",
    "sponsor_names",
    "sponsorship",
    "sponsorships_at",
    "sponsorships_of",
]
