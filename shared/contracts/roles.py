"""What a person may be at an agency: tokens name these, guards ask for them, and whoever needs a list takes it here."""

from typing import Literal, get_args

BuyerRole = Literal["reader", "advertiser", "sponsor"]
StaffRole = Literal[
    "ad_ops", "subscriptions", "events", "finance", "finance_approver", "administrator", "auditor"
]
Role = Literal[BuyerRole, StaffRole]

STAFF: tuple[StaffRole, ...] = get_args(StaffRole)
"""Roles that an administrator gives, and that ask for a second step at the sign-in."""
