"""Migrations: Alembic for each service's own database, run as its owner."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from shared.contracts import SERVICES
from shared.db import database_url
from shared.settings import Settings


def config_of(settings: Settings, service: str, database: str = "") -> Config:
    """Alembic's configuration of one service; `database` names another one, such as a test's template."""
    config = Config()
    folder = Path(__file__).parent.parent / "services" / service / "migrations"
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = database_url(settings, service, "owner", database)
    return config


def migrate(settings: Settings, service: str, database: str = "") -> None:
    """Bring one service's database to the newest version, by the operator's settings.

    Safe to run twice and from two places at once.
    """
    command.upgrade(config_of(settings, service, database), "head")


def migrate_all(settings: Settings) -> None:
    for service in SERVICES:
        migrate(settings, service)
