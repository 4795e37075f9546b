"""What the audit trail can be told that a person did: a closed list, so that each act has its words on the page.

Each act is one service's: no other can say that somebody did it.
"""

from typing import Literal

Events = Literal["event.create", "event.edit", "event.price"]
Payments = Literal[
    "finding.agree",
    "finding.propose",
    "finding.reject",
    "finding.withdraw",
    "held.agree",
    "held.propose",
    "held.reject",
    "held.withdraw",
    "rail.agree",
    "rail.propose",
    "rail.reject",
    "rail.withdraw",
    "refund.approve",
    "refund.ask",
    "refund.drop",
    "refund.reject",
    "refund.renew",
    "refund.withdraw",
]
Subscriptions = Literal["package.offer", "package.price"]
Own = Literal[
    "advertiser.register",
    "agency.register",
    "agency.succeed",
    "key.make",
    "key.revoke",
    "password.change",
    "person.invite",
    "role.grant",
    "role.set",
    "session.open",
    "sponsor.register",
    "totp.enrol",
    "totp.recovery",
    "totp.recovery.renew",
    "totp.reset.approve",
    "totp.reset.ask",
    "totp.reset.end",
]
"""What accounts itself writes down; no fact says it."""

Act = Literal[Events, Payments, Subscriptions, Own]
