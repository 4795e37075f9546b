"""The post: letters from templates in two languages, and the SMTP server that takes them."""

from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec
import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

from shared.outside import outside
from shared.settings import Settings
from shared.web.formats import FILTERS

log = structlog.get_logger()

FOLDER = Path(__file__).parent / "templates" / "mail"
TIMEOUT_S = 20


class Letter(msgspec.Struct, frozen=True):
    subject: str
    body: str


class Bounced(Exception):
    """The server refuses this address for good."""


class Away(Exception):
    """The server cannot take the letter now."""


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - plain text
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def write(template: str, lang: str, params: dict[str, Any], **about: str) -> Letter:
    """Fill in a template; the first line is the subject.

    A template that we lack, or that asks for what the sender did not give, becomes a plain notice: it is told.
    """
    known = {**params, **about, "template": template, "params": params}
    if (FOLDER / f"{template}.{lang}.txt").exists():
        try:
            return _filled(f"{template}.{lang}.txt", known)
        except UndefinedError as error:
            log.warning("letter lacks a parameter", template=template, error=str(error))
    return _filled(f"notice.{lang}.txt", known)


def _filled(name: str, known: dict[str, Any]) -> Letter:
    subject, _, body = _templates().get_template(name).render(known).partition("\n")
    return Letter(subject.strip(), body.strip() + "\n")


@outside
async def post(settings: Settings, address: str, letter: Letter) -> None:
    """Hand a letter to the SMTP server of the settings. Raises Bounced or Away."""
    message = EmailMessage()
    message["From"] = settings.mail_from
    message["To"] = address
    message["Subject"] = letter.subject
    message.set_content(letter.body)
    server = urlsplit(settings.smtp_url)
    try:
        await aiosmtplib.send(
            message,
            hostname=server.hostname,
            port=server.port or (465 if server.scheme == "smtps" else 587),
            username=unquote(server.username) if server.username else None,
            password=unquote(server.password) if server.password else None,
            use_tls=server.scheme == "smtps",
            timeout=TIMEOUT_S,
        )
    except aiosmtplib.SMTPRecipientsRefused as refused:
        codes = [recipient.code for recipient in refused.recipients]
        if all(code >= 500 for code in codes):  # noqa: PLR2004 - RFC 5321: permanent
            raise Bounced(str(refused.recipients[0].message)) from refused
        raise Away(str(refused)) from refused
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Away(f"{type(error).__name__}: {error}") from error
