"""The newspaper's question to the house: may this reader read this article? Answered in 150 ms, or not at all."""

import asyncio
from pathlib import Path
from typing import Literal

import httpx
import msgspec
import structlog

from demo.queries import Article
from shared.settings import Settings

log = structlog.get_logger()

AGENCY = "bkh"
ADDRESS = "/api/subscriptions/v1/access"


class Config(msgspec.Struct, frozen=True):
    """`home/demo.json`: what the newsroom's system knows about the house."""

    server_keys: dict[str, str] = {}
    timeout_ms: int = 150
    without_answer: Literal["teaser", "full"] = "teaser"
    """What readers see of a premium article while the house does not answer; free ones are always shown."""


class Access(msgspec.Struct, frozen=True):
    """The house's answer."""

    allowed: bool
    reason: str
    """`free`, `metered`, `entitled`, `wall`, `registration`, `no-answer`; what is new later is shown as a wall."""
    remaining: int | None = None
    limit: int | None = None
    device: str | None = None
    offers_url: str = "/subscribe"


class Wall:
    """The house's wall, asked over a connection that stays open."""

    def __init__(self, settings: Settings) -> None:
        self._file: Path = settings.home / "demo.json"
        self._client = httpx.AsyncClient(base_url=settings.base_url, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    def config(self) -> Config:
        """The configuration, read anew each time so that a key takes effect without a restart."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Config)
        except FileNotFoundError:
            return Config()
        except msgspec.MsgspecError as error:
            log.warning("demo_config_unreadable", file=str(self._file), error=str(error))
            return Config()

    async def access(self, article: Article, device: str | None, person_token: str | None) -> Access:
        """Ask whether to show an article; without an answer in time, the configured fallback."""
        config = self.config()
        fallback = Access(not article.premium or config.without_answer == "full", "no-answer")
        key = config.server_keys.get(AGENCY)
        if key is None:
            return fallback
        question = {
            "agency": AGENCY,
            "article": article.slug,
            "section": article.section,
            "premium": article.premium,
            "device": device,
            "person_token": person_token,
        }
        try:
            async with asyncio.timeout(config.timeout_ms / 1000):
                answer = await self._client.post(
                    ADDRESS, json=question, headers={"authorization": f"Bearer {key}"}
                )
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=Access)
        except (TimeoutError, httpx.HTTPError, msgspec.MsgspecError) as error:
            log.warning("access_not_answered", article=article.slug, error=repr(error))
            return fallback
