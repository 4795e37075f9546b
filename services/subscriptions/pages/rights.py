"""Who may open which pages of subscriptions."""

from shared.auth import Right
from shared.contracts.roles import SUBSCRIPTION_STAFF

may_subscribe = Right(own=True)
may_see_own = Right(own=True)
may_see_desk = Right(roles={*SUBSCRIPTION_STAFF, "finance", "auditor"})
may_change_walls = Right(roles=SUBSCRIPTION_STAFF)
