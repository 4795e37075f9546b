"""What staff may do on the pages of accounts."""

from shared.auth import Right

is_staff = Right(
    roles={"ad_ops", "subscriptions", "events", "finance", "finance_approver", "administrator", "auditor"}
)
may_manage_people = Right(roles={"administrator"})
may_read_trail = Right(roles={"administrator", "auditor"})
