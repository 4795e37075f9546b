"""What must be so of a house once a storm is over, read behind the services' backs."""

import re
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast, get_args
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import namedtuple_row

from ops.embedded.parts import postgres_url
from services.accounts.actions.messages import Own
from shared.contracts import SERVICES
from shared.leader import LOCK
from tests.journeys.conftest import WholeHouse
from tests.simulation import truths
from tests.simulation.town import Town

LAG = re.compile(r"^nguonthu_consumer_lag\{[^}]*\} (\S+)$", re.MULTILINE)

TRUTHS = (
    truths.the_bank_agrees,
    truths.nothing_waits,
    truths.every_offer_is_answered,
    truths.every_dong_has_its_place,
    truths.everybody_was_told,
    truths.stock_is_what_causes_say,
    truths.what_was_paid_is_given,
    truths.every_entry_balances,
)
"""Those of the simulated lives that look at no single event and at no books that begin with the run."""


class Seen:
    """Looks into the databases of a house that runs."""

    def __init__(self, house: WholeHouse) -> None:
        self.house = house

    def rows(self, service: str, sql: str) -> list[Any]:
        with self._opened(service) as db:
            return db.execute(sql).fetchall()

    def one(self, service: str, sql: str) -> Any:
        return self.rows(service, sql)[0][0]

    def many(self, service: str, sql: str) -> set[Any]:
        return {row[0] for row in self.rows(service, sql)}

    def said(self, publisher: str, subject: str) -> dict[UUID, bytes]:
        """What a service has said of a subject, in the very bytes."""
        rows = self.rows(publisher, f"SELECT id, body FROM fact_log WHERE subject = '{subject}'")
        return {row.id: bytes(row.body) for row in rows}

    def _opened(self, service: str) -> psycopg.Connection[Any]:
        address = postgres_url(self.house.home, self.house.port("postgres"), service)
        return psycopg.connect(address, row_factory=namedtuple_row, autocommit=True)

    def quiet(self) -> bool:
        """Nothing is left to say, to hear, to try again or to ask the bank.

        What a killed process had in its hands is handed to the next one after half a minute.
        """
        said = sum(self.one(service, "SELECT count(*) FROM outbox") for service in SERVICES)
        held = sum(self.one(service, "SELECT count(*) FROM retry") for service in SERVICES)
        asked = self.one("payments", "SELECT count(*) FROM attempt WHERE state = 'open'")
        sent = self.one("accounts", "SELECT count(*) FROM message WHERE state = 'queued'")
        heard = [float(n) for service in SERVICES for n in LAG.findall(self._metrics(service))]
        return said == held == asked == sent == sum(heard) == 0 and len(heard) >= len(SERVICES)

    def _metrics(self, service: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self.house.port(service)}/metrics", timeout=20).text

    def unled(self) -> set[str]:
        """Services of which no process leads."""
        led = self.many(
            "accounts",
            "SELECT d.datname FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            f"WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = {LOCK} AND l.granted",
        )
        return set(SERVICES) - led

    def bank(self) -> int:
        return int(self.house.get("/gateway/vnpay-sim/captures").json()["amount_vnd"])

    def payments(self) -> int:
        return int(
            self.one("payments", "SELECT coalesce(sum(amount_vnd), 0) FROM capture WHERE rail = 'vnpay'")
        )

    def ledger(self) -> int:
        """Cash in transit as captures moved it."""
        return int(
            self.one(
                "ledger",
                "SELECT coalesce(sum(l.amount_vnd), 0) FROM leg l JOIN entry e ON e.id = l.entry "
                "JOIN archive a ON a.fact_id = e.fact_id "
                "WHERE l.account = 'cash_in_transit:vnpay' AND a.subject IN "
                "('payments.payment.captured.v1', 'payments.money.unapplied.v1')",
            )
        )

    def letters(self) -> tuple[int, int]:
        """How many letters were asked for, and how many there are of these."""
        own = ", ".join(f"'{template}'" for template in get_args(Own))
        asked = sum(
            self.one(service, "SELECT count(*) FROM fact_log WHERE subject LIKE '%.message.requested.%'")
            for service in SERVICES
        )
        return asked, self.one("accounts", f"SELECT count(*) FROM message WHERE template NOT IN ({own})")

    def agrees(self) -> bool:
        """Whether every truth holds by now: what ran out while the house was away is given back in its first minute."""
        try:
            self.check()
        except AssertionError:
            return False
        return True

    def check(self) -> None:
        """Raises AssertionError for the first truth that does not hold."""
        with ExitStack() as opened:
            eyes = {service: opened.enter_context(self._opened(service)) for service in SERVICES}
            flats = {service: SimpleNamespace(name=service, inbox=[]) for service in SERVICES}
            town = cast("Town", SimpleNamespace(eyes=eyes, flats=flats))
            for truth in TRUTHS:
                truth(town)
        asked, kept = self.letters()
        assert asked == kept, f"{asked} letters were asked for, and there are {kept}"
        assert self.bank() == self.payments() == self.ledger()
