"""What an API key may be allowed to do: accounts gives these, the guards of the other services ask for them."""

from typing import Literal

Scope = Literal[
    "ads:book",
    "ads:read",
    "ads:review",
    "ads:serve",
    "events:check-in",
    "events:edit",
    "events:register",
    "events:sponsor",
    "finance:read",
    "keys:manage",
    "payments:read",
    "payments:refund",
    "subscriptions:access",
    "subscriptions:catalogue",
    "subscriptions:policies",
    "subscriptions:read",
]
