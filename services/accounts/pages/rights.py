"""What staff may do on the pages of accounts."""

from shared.auth import Right
from shared.contracts.roles import STAFF

is_staff = Right(roles=frozenset(STAFF))
may_manage_people = Right(roles={"administrator"})
may_read_trail = Right(roles={"administrator", "auditor"})
