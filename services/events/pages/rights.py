"""Who may open which pages of events, and how often one may book."""

from shared.auth import Right
from shared.contracts.roles import EVENT_STAFF
from shared.limits import limited

may_buy = Right(own=True)
may_see_desk = Right(roles={*EVENT_STAFF, "auditor"})
may_work_desk = Right(roles=EVENT_STAFF)
bookings = limited("events-book", per_minute=600, burst=300)
