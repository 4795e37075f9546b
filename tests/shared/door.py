"""A service that exists for tests of its doors alone: a few handlers, and a client with keys."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from litestar import Litestar, asgi, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Redirect
from litestar.types import Receive, Scope, Send

from shared import auth, clock, http, outbox
from shared.consume import Consumer
from shared.db import Tx
from shared.errors import Refused
from shared.jobs import Jobs
from shared.limits import limited
from shared.money import Vnd
from shared.request import Request
from shared.service import Service
from tests.conftest import Running
from tests.sample import withdrawn


class Booking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    budget_vnd: Vnd
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] = "x"


class Booked(msgspec.Struct, frozen=True):
    id: str
    budget_vnd: int


class SlotTaken(Refused):
    """Somebody was first."""


may_book = auth.Right(roles={"ad_ops"}, scope="ads:book")


async def book(tx: Tx, data: Booking) -> Booked:
    await outbox.emit(tx, withdrawn())
    if data.budget_vnd == 13:
        raise SlotTaken("The slot of 13 đồng is taken.")
    return Booked(str(clock.new_id()), data.budget_vnd)


@post("/api/ads/v1/bookings", guards=[may_book])
async def book_one(request: Request, tx: NamedDependency[Tx], data: JSONBody[Booking]) -> Booked:
    return await http.once(request, tx, book(tx, data))


@get("/api/ads/v1/things", guards=[may_book])
async def things(tx: NamedDependency[Tx]) -> list[str]:
    return list(await tx.scalars(sa.text("SELECT agency FROM thing")))


@get("/api/ads/v1/broken/{kind:str}")
async def broken(kind: FromPath[str], tx: NamedDependency[Tx]) -> None:
    if kind == "commit":
        await tx.execute(sa.text("INSERT INTO thing VALUES (:id, 'bkh')"), {"id": clock.new_id()})
    raise ZeroDivisionError("secret detail")


@get("/api/ads/v1/listed", include_in_schema=False)
async def listed(
    from_day: Annotated[str, QueryParameter(name="fromDay")], limit: FromQuery[int] = 50
) -> list[str | int]:
    return [from_day, limit]


@post("/api/ads/v1/pictures", guards=[may_book])
async def take_picture(request: Request, tx: NamedDependency[Tx]) -> Booked:
    async def work() -> Booked:
        await outbox.emit(tx, withdrawn())
        return Booked((await (await request.form())["file"].read()).decode(), 0)

    return await http.once(request, tx, work())


@post("/api/ads/v1/slow", guards=[may_book])
async def slow(request: Request, tx: NamedDependency[Tx]) -> Booked:
    async def work() -> Booked:
        await asyncio.sleep(0.5)
        return Booked("slow", 0)

    return await http.once(request, tx, work())


@asgi("/b/hot", opt={"direct": True}, copy_scope=False)
async def hot(scope: Scope, receive: Receive, send: Send) -> None:
    """A hot path on which something never comes."""
    await asyncio.sleep(30)


@post("/advertise/forms", opt={"exclude_from_csrf": True})
async def form_of_a_stranger(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    async def work() -> Redirect:
        return Redirect(f"/advertise/{clock.new_id()}", status_code=302)

    return await http.once(request, tx, work())


@get("/api/ads/v1/limited", guards=[limited("test", per_minute=60, burst=4)])
async def limited_one() -> None:
    return None


@put("/api/ads/v1/things/{name:str}", guards=[may_book])
async def rename(request: Request, name: FromPath[str]) -> str:
    http.require_match(request, 3)
    return name


@get("/api/ads/v1/away")
async def away() -> None:
    raise sa.exc.TimeoutError("the pool is empty")


@get("/api/ads/v1/full")
async def full() -> None:
    await asyncio.to_thread(Path("/dev/full").write_bytes, b"what a full disk does not take")


@get(["/api/ads/v1/circle", "/circle"])
async def circle(tx: NamedDependency[Tx]) -> None:
    """PostgreSQL ends who would wait in a circle."""
    await tx.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION 'a circle' USING ERRCODE = '40P01'; END $$"))


@get("/desk/ads/page", guards=[may_book])
async def staff_page() -> str:
    return "staff"


@post("/desk/ads/page", guards=[may_book])
async def staff_form() -> str:
    return "done"


@pytest.fixture
async def door(sample, stack):
    class Door:
        settings = sample.kit.settings
        sample_ = sample

        def key(self, **more):
            given = {"id": clock.new_id(), "agency": "bkh", "scopes": ["ads:book"], **more}
            expires = given.pop("expires_at", clock.now() + timedelta(hours=1))
            return auth.Signer(stack.settings("accounts")).api_key(
                auth.Principal(kind="key", **given), expires
            )

        def headers(self, **more):
            return {"Authorization": f"Bearer {self.key()}", "Idempotency-Key": str(clock.new_id()), **more}

        async def book(self, body=None, **headers):
            sent = self.headers(**headers)
            return await self.client.post(
                "/api/ads/v1/bookings", json=body or {"budget_vnd": 5}, headers=sent
            )

        async def said(self):
            return len(await sample.rows("SELECT * FROM outbox"))

    made = Door()
    app = Litestar(
        route_handlers=[
            *(book_one, things, broken, limited_one, staff_page, staff_form),
            *(listed, take_picture, slow, hot, form_of_a_stranger, rename, away, full, circle),
        ],
        plugins=[Service("ads", sample.kit.settings, Consumer("ads"), Jobs("ads"))],
    )
    made.app = app
    running = Running(app)
    await running.started()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        made.client = client
        yield made
    await running.stop()
