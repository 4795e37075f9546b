"""What a service tells of itself: logs with ids, Prometheus metrics, and health."""

import asyncio
import contextlib
import logging
import math
import os
import shutil
import sys
from collections.abc import Awaitable
from functools import cache
from pathlib import Path
from typing import Any, Final, TextIO, cast

import nats.errors
import psycopg
import sqlalchemy as sa
import structlog
from litestar import MediaType, Response, get
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from redis.exceptions import RedisError
from structlog.tracebacks import ExceptionDictTransformer

from shared import clock, copies, held
from shared.request import Request

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "nguonthu_requests_total", "Answers by route and status", ["route", "status"], registry=REGISTRY
)
DURATION = Histogram(
    "nguonthu_request_seconds",
    "Time to answer",
    ["route"],
    registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSED_NOTIFICATIONS = Counter(
    "nguonthu_refused_notifications_total",
    "Gateway notifications that were refused, by rail and reason",
    ["rail", "reason"],
    registry=REGISTRY,
)
SENT_AWAY = Counter(
    "nguonthu_sent_away_total",
    "Requests refused since their room was full: the crowd's, money's, or that of looks",
    ["room"],
    registry=REGISTRY,
)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """A figure of the whole service: of several workers whoever looked last says it."""
    return Gauge(name, meaning, labels, registry=REGISTRY, multiprocess_mode="mostrecent")


UNANSWERED = _gauge(
    "nguonthu_unanswered",
    "Late money and refunds that no seller, and attempts that no bank has answered for over an hour",
    "what",
)
FAILING = _gauge(
    "nguonthu_failing",
    "How much of what was due a job could not do in its last turn; 1 where it broke as a whole",
    "job",
)
UNLED = _gauge(
    "nguonthu_unled_seconds",
    "For how long nobody has been seen to lead the service; below 2 where all is well",
)
RESTED = _gauge(
    "nguonthu_job_rested_seconds",
    "For how long a job has ended no turn, as was last noted, every half minute",
    "job",
)
OUTBOX = _gauge("nguonthu_outbox_facts", "Facts not yet published")
OUTBOX_AGE = _gauge("nguonthu_outbox_age_seconds", "Age of the oldest unpublished fact")
HELD = _gauge("nguonthu_held_facts", "Facts that are held back, by state", "state")
AWAY = _gauge(
    "nguonthu_streams_away", "Streams and consumers of NATS that are missing or have no leader, as last seen"
)
DISK = _gauge("nguonthu_disk_free_bytes", "What is free on the disk of the service's files")
COPIES = _gauge(
    "nguonthu_copies_amiss",
    "How much is amiss with the copies of the embedded house, as `nguonthu status` says it",
)
REDIS_AWAY = _gauge(
    "nguonthu_redis_away", "1 while the service does not reach Redis, without which it goes on"
)
ANSWERS = _gauge(
    "nguonthu_store_answers_seconds",
    "How long a store took to answer the look that this figure is from; NaN where it did not",
    "store",
)
LAG = _gauge("nguonthu_consumer_lag", "Facts not yet handled, by source", "source")

FIGURES: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder where the workers of one service put their figures together."""


class Stderr:
    """Where log lines go. On a full disk they are lost, and whoever logs goes on with what matters more."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def configure_logs(service: str, level: str) -> None:
    """One JSON object a line on stderr, with the service and the request or fact id."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without local variables: they would carry cookies and tokens into the log.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Stderr())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


async def measured(app: ASGIApp, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
    """Run a request, counting and timing it, and give the answer its request id."""
    started = clock.monotonic_s()
    status = 0

    async def tell(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
        await send(message)

    structlog.contextvars.bind_contextvars(request=request_id)
    try:
        await app(scope, receive, tell)
    finally:
        count, duration = _meters(str(scope.get("path_template") or "unrouted"), status)
        count.inc()
        duration.observe(clock.monotonic_s() - started)


@cache
def _meters(route: str, status: int) -> tuple[Counter, Histogram]:
    """A request's counter and histogram; looking labels up anew costs more than counting."""
    return REQUESTS.labels(route, str(status)), DURATION.labels(route)


@get("/health/live", include_in_schema=False, sync_to_thread=False)
def live() -> dict[str, str]:
    """The loop ticks."""
    return {"status": "live"}


@get("/health/ready", include_in_schema=False)
async def ready(request: Request) -> Response[dict[str, Any]]:
    """Whether the service can do its work, what it waits for where it cannot, and what facts it holds back."""
    kit = request.app.state.kit
    waits, holds = await asyncio.gather(kit.waits_for(), kit.holds())
    body = {"status": "waiting" if waits else "ready", "waits_for": waits, "holds": holds}
    return Response(body, status_code=503 if waits else 200)


def _free(folder: Path) -> int:
    """Bytes that are free where a folder is, or is to be."""
    here = folder.absolute()
    return shutil.disk_usage(next(place for place in (here, *here.parents) if place.exists())).free


LOOKS_S = 2.5
"""How long a look at the database may take."""


@get("/metrics", include_in_schema=False, media_type=MediaType.TEXT)
async def metrics(request: Request) -> bytes:
    """Prometheus metrics; the gauges of facts and jobs are read when asked, and are NaN while PostgreSQL is away."""
    kit = request.app.state.kit
    # At the same time, so that all of them together take no longer than one that is not answered.
    away, lags, _ = await asyncio.gather(_look_at_stores(kit), kit.intake.lag(), _look_or_none(kit))
    for source, lag in lags.items():
        LAG.labels(source).set(lag)
    UNLED.set(kit.leader.unled_s)
    AWAY.set(len(kit.presence.away))
    REDIS_AWAY.set("redis" in away)
    DISK.set(_free(kit.settings.home))
    tell_of_copies(kit.settings.home)
    return generate_latest(_figures())


def tell_of_copies(home: Path) -> None:
    """Show how much is amiss with the copies of a home."""
    COPIES.set(len(copies.troubles(copies.read(home), clock.now())))


async def _look_or_none(kit: Any) -> None:
    """Read what waits and what rests; NaN where PostgreSQL does not say."""
    try:
        async with asyncio.timeout(LOOKS_S):
            await _look(kit)
    except (OSError, sa.exc.SQLAlchemyError) as error:
        structlog.get_logger().warning("the database does not say how much waits", error=str(error)[:200])
        for gauge in (OUTBOX, OUTBOX_AGE, *map(HELD.labels, held.WORDS), *map(RESTED.labels, kit.paces)):
            gauge.set(math.nan)


async def _look(kit: Any) -> None:
    """Read what waits and what rests."""
    async with kit.database.worker_tx() as tx:
        box = (
            await tx.execute(
                sa.text("SELECT count(*) AS n, min(occurred_at) AS oldest FROM outbox WHERE aside = ''")
            )
        ).one()
        counts = await held.counts(tx)
    OUTBOX.set(box.n)
    OUTBOX_AGE.set((clock.now() - box.oldest).total_seconds() if box.oldest else 0)
    for state in held.WORDS:
        HELD.labels(state).set(counts.get(state, 0))
    for job, rested_s in (await kit.rested_s()).items():
        RESTED.labels(job).set(rested_s)


async def _look_at_stores(kit: Any) -> set[str]:
    """Note how long each store takes to answer; returns those that do not."""
    looks = {"postgres": kit.database.glance("SELECT 1"), "nats": kit.bus.ask(), "redis": kit.redis.ping()}
    seconds = dict(zip(looks, await asyncio.gather(*map(_seconds, looks.values())), strict=True))
    for store, s in seconds.items():
        ANSWERS.labels(store).set(s)
    return {store for store, s in seconds.items() if math.isnan(s)}


async def _seconds(look: Awaitable[Any]) -> float:
    """How long a look takes; NaN where it is not answered."""
    began = clock.monotonic_s()
    try:
        async with asyncio.timeout(LOOKS_S):
            await look
    except (OSError, psycopg.Error, nats.errors.Error, RedisError):
        return math.nan
    return clock.monotonic_s() - began


def _figures() -> CollectorRegistry:
    """What this process counted, or where there are several of a service, what all of them did."""
    if FIGURES not in os.environ:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


routes: list[Any] = [live, ready, metrics]


__all__ = [
    "FAILING",
    "REFUSED_NOTIFICATIONS",
    "SENT_AWAY",
    "UNANSWERED",
    "configure_logs",
    "measured",
    "routes",
]
