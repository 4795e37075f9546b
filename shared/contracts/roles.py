"""What a person may be at an agency: tokens name these, guards ask for them, and whoever needs a list takes it here."""

from typing import Literal, get_args

BuyerRole = Literal["reader", "advertiser", "sponsor"]
StaffRole = Literal[
    "ad_ops", "subscriptions", "events", "finance", "finance_approver", "administrator", "auditor"
]
Role = Literal[BuyerRole, StaffRole]

STAFF: tuple[StaffRole, ...] = get_args(StaffRole)
"""Roles that an administrator gives, and that ask for a second step at the sign-in."""

OVERSEERS: frozenset[Role] = frozenset({"finance", "finance_approver", "administrator", "auditor"})
"""Who looks over what all sellers sell: money can only be explained by what it was for."""

AD_STAFF: frozenset[Role] = frozenset({"ad_ops", "administrator"})
SUBSCRIPTION_STAFF: frozenset[Role] = frozenset({"subscriptions", "administrator"})
EVENT_STAFF: frozenset[Role] = frozenset({"events", "administrator"})
"""Who works at a seller's desk; an auditor looks at each."""
