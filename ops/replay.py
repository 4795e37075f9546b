"""Facts that a service holds back, and facts of a publisher's log that a consumer is to hear again."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from getpass import getuser
from importlib import import_module
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared import agencies, clock
from shared.consume import STREAM_KEEPS
from shared.contracts import SERVICES, stem_of
from shared.db import database_url
from shared.settings import Settings

Row = dict[str, Any]
BATCH = 1000


def connect(settings: Settings, service: str) -> psycopg.Connection[Row]:
    """Open one service's database as its worker."""
    url = database_url(settings, service, "worker").set(drivername="postgresql")
    text = url.render_as_string(hide_password=False)
    return psycopg.connect(text, row_factory=dict_row, autocommit=True, connect_timeout=5)


def held(settings: Settings, service: str, states: tuple[str, ...]) -> list[Row]:
    """Facts that a service keeps because it could not handle them; its own, too, that NATS does not take: `aside`."""
    with connect(settings, service) as link:
        return link.execute(
            "SELECT * FROM (SELECT fact_id, subject, state, waits_for, attempts, error, since, body FROM retry "
            "UNION ALL SELECT id, subject, 'aside', '', 0, aside, occurred_at, body FROM outbox WHERE aside <> '') "
            "AS held WHERE state = ANY(%s) ORDER BY since",
            (list(states),),
        ).fetchall()


def again(settings: Settings, service: str, fact: str = "") -> int:
    """Have parked facts, or one of them, handled again, and those set aside told again. Returns how many.

    What was dropped comes back only where it is named.
    """
    with connect(settings, service) as link:
        done = link.execute(
            "UPDATE retry SET state = 'retry', attempts = 0, next_at = %s WHERE (state = 'parked' AND %s = '') "
            "OR (state IN ('parked', 'dropped') AND fact_id::text = %s)",
            (clock.now(), fact, fact),
        )
        told = link.execute(
            "UPDATE outbox SET aside = '' WHERE aside <> '' AND (%s = '' OR id::text = %s)", (fact, fact)
        )
        return done.rowcount + told.rowcount


def drop(settings: Settings, service: str, reason: str, fact: str = "", subject: str = "") -> list[Row]:
    """Let a service never again try what it holds, one fact or a whole subject, and keep it with who did so and why.

    Returns what was dropped. Nothing brings it back but to replay it by its id.
    """
    with connect(settings, service) as link:
        return link.execute(
            "UPDATE retry SET state = 'dropped', waits_for = '', "
            "error = concat_ws(E'\\n', nullif(error, ''), %s::text) "
            "WHERE state <> 'dropped' AND (fact_id::text = %s OR subject = %s) RETURNING fact_id, subject",
            (f"dropped on {clock.now():%Y-%m-%d %H:%M} UTC by {_user()}: {reason}", fact, subject),
        ).fetchall()


def _user() -> str:
    """Who runs this program; in a container its user may have no name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def unhandled_since(at: datetime) -> datetime:
    """From when on a fact can be one that nobody has handled, in databases as they stood at an instant.

    Whoever handled it knows it for longer than that. An older one was handled, or stands in `retry`; whether it was
    is known to nobody any more, so that to hand it on would be to have it handled twice.
    """
    return at - STREAM_KEEPS


def hand_on_all(
    settings_of: Callable[[str], Settings], at: datetime, services: Iterable[str] = SERVICES
) -> int:
    """Put before every service what the others have said and it has not handled. Returns how many facts those were.

    `at` is the instant from which the databases come, such as a backup's.
    """
    names, since = list(services), unhandled_since(at)
    return sum(
        hand_on(settings_of(publisher), publisher, settings_of(consumer), consumer, since)
        for publisher in names
        for consumer in names
    )


def hears(consumer: str, publisher: str) -> Sequence[str]:
    """The subjects of a publisher that a consumer hears."""
    found = import_module(f"services.{consumer}.consumers").consumer
    agencies.listen(found)
    return tuple(found.sources().get(publisher, ()))


def hand_on(
    source: Settings,
    publisher: str,
    target: Settings,
    consumer: str,
    since: datetime | None,
    stems: Sequence[str] | None = None,
) -> int:
    """Put a publisher's logged facts before a consumer that has not handled them. Returns how many.

    They pass through its retry table, so that they need no stream and no order. `since` is `unhandled_since`, or later;
    None, for all that was ever said, only where the consumer can never have heard any of it. `stems` are the subjects
    without their versions; where they are left out, all that the consumer hears.
    """
    if stems is None:
        stems = [stem_of(subject) for subject in hears(consumer, publisher)]
    if not stems:
        return 0
    count = 0
    with (
        connect(source, publisher) as log,
        connect(target, consumer) as link,
        log.transaction(),
        log.cursor(name="replay") as cursor,
    ):
        cursor.execute(
            "SELECT id, subject, body FROM fact_log WHERE regexp_replace(subject, '[.]v[0-9]+$', '') = ANY(%s) "
            "AND occurred_at >= coalesce(%s::timestamptz, '-infinity') ORDER BY seq",
            (stems, since),
        )
        while rows := cursor.fetchmany(BATCH):
            count += _queue(link, rows)
    return count


def _queue(link: psycopg.Connection[Row], rows: list[Row]) -> int:
    """Write facts that a consumer has not handled into its retry table, due at once."""
    with link.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO retry (fact_id, subject, body, state, since, next_at) "
            "SELECT %(id)s, %(subject)s, %(body)s, 'retry', %(now)s, %(now)s "
            "WHERE NOT EXISTS (SELECT FROM inbox WHERE fact_id = %(id)s AND subject = %(subject)s "
            "AND digest = substring(sha256(%(body)s) FOR 16)) "
            "ON CONFLICT DO NOTHING",
            [{**row, "now": clock.now()} for row in rows],
        )
        return cursor.rowcount
