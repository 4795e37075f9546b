"""Small makers for the tests of accounts, all through its own actions."""

import re
from datetime import date
from typing import Any
from uuid import UUID

import httpx
import pyotp
import sqlalchemy as sa

from services.accounts import queries
from services.accounts.actions import agencies, people
from services.accounts.actions.secrets import hash_password, new_totp_secret, seal
from services.accounts.tables import PersonRoleRow, PersonRow
from shared import clock
from shared.auth import Principal, Verifier

TAX_CODE = "4200123454"
PASSWORD = "mot-mat-khau-du-dai"
LAN = "lan@baokh.example"
OPENING: dict[str, Any] = {"kind": "newspaper", "active_from": date(2020, 1, 1), "actor": "test"}


async def some_agencies(flat: Any) -> None:
    """Bkh and tcnt, open; baokh, succeeded by bkh."""
    async with flat.tx() as tx:
        await agencies.register_agency(tx, "baokh", "Báo Khánh Hòa (cũ)", **OPENING)
        await agencies.register_agency(tx, "bkh", "Báo Khánh Hòa", **{**OPENING, "kind": "converged"})
        await agencies.register_agency(tx, "tcnt", "Tạp chí Nha Trang", **{**OPENING, "kind": "magazine"})
        await agencies.succeed_agency(tx, "baokh", "bkh", date(2025, 4, 24), "test")


async def a_person(
    flat: Any,
    email: str = "lan@baokh.example",
    *,
    agency: str = "bkh",
    roles: list[str] | None = None,
    password: str | None = PASSWORD,
    totp: bool = False,
) -> tuple[UUID, str]:
    """A person with roles; returns the id and the TOTP secret (empty without)."""
    secret = new_totp_secret() if totp else ""
    hashed = await hash_password(password) if password else None
    async with flat.tx() as tx:
        row: PersonRow = people.person_row(agency, email=email, name="Lan")
        row.password_hash = hashed
        row.totp_secret = seal(flat.kit.settings, secret) if secret else None
        tx.add(row)
        await tx.flush()
        for role in roles or []:
            tx.add(PersonRoleRow(person=row.id, agency=agency, role=role, granted_at=clock.now()))
        return row.id, secret


def an_advertiser(**changes: Any) -> dict[str, Any]:
    return {
        "agency": "bkh",
        "name": "Công ty Yến sào",
        "tax_code": TAX_CODE,
        "email": "ketoan@yensao.example",
        "contact_name": "Nguyễn Thị Lan",
        **changes,
    }


class Browser:
    """A browser's worth of habits: it sends the CSRF token that pages gave, and finds codes in the inbox."""

    def __init__(self, flat: Any, base_url: str = "http://localhost:8080") -> None:
        self.flat = flat
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=flat.app, raise_app_exceptions=False),
            base_url=base_url,
            headers={"accept": "text/html", "user-agent": "Mozilla/5.0 (X11; Linux) Firefox/130"},
        )

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def post(self, path: str, **form: Any) -> httpx.Response:
        name = "__Host-nt_csrf" if self.client.base_url.scheme == "https" else "nt_csrf"
        if name not in self.client.cookies:
            await self.client.get("/account/sign-in")
        headers = {"x-csrftoken": self.client.cookies[name]}
        return await self.client.post(path, data=form, headers=headers)

    async def code(self) -> str:
        """The code in the newest letter of the embedded inbox."""
        async with self.flat.tx() as tx:
            newest = (await queries.inbox(tx, limit=1))[0]
        found = re.search(r"\b\d{6}\b", newest.subject)
        assert found
        return found[0]

    async def sign_in_by_code(self, email: str, next_path: str = "") -> httpx.Response:
        await self.post("/account/sign-in", identifier=email, next=next_path)
        return await self.post("/account/code", code=await self.code())

    async def sign_in_as_staff(self, email: str, secret: str, password: str = PASSWORD) -> httpx.Response:
        await self.post("/account/password", identifier=email, password=password)
        return await self.post("/account/totp", code=pyotp.TOTP(secret).now())

    def principal(self) -> Principal:
        """What the page token in hand says."""
        return Verifier(self.flat.kit.settings).principal(self.client.cookies["nt_token"])


def a_stranger(flat: Any, network: int) -> Browser:
    """A browser of a network of its own, as the edge tells it."""
    browser = Browser(flat)
    browser.client.headers["x-forwarded-for"] = f"10.{network // 256}.{network % 256}.7"
    return browser


async def letters(flat: Any, address: str = LAN) -> list[Any]:
    """The letters to an address, as they are kept, oldest first."""
    async with flat.tx() as tx:
        rows = await tx.execute(
            sa.text("SELECT * FROM message WHERE address = :address ORDER BY created_at"),
            {"address": address},
        )
        return list(rows.mappings())
