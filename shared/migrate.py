"""Migrations: Alembic for each service's own database, run as its owner."""

from importlib import import_module
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.schema import SchemaItem

from shared.db import HOUSE_TABLES, database_url
from shared.settings import SERVICES, Settings

LOCK = 7_003


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


def run(service: str) -> None:
    """What each service's `migrations/env.py` calls."""
    metadata = import_module(f"services.{service}.tables").Base.metadata
    engine = create_engine(context.config.attributes["url"])
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        connection.commit()
        context.configure(
            connection=connection, target_metadata=metadata, include_object=_ours, compare_server_default=True
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def _ours(_item: SchemaItem, name: str | None, kind: str, reflected: bool, _other: SchemaItem | None) -> bool:  # noqa: FBT001 - Alembic's signature
    """Leave out the tables of the house, which the models of a service do not declare."""
    return not (kind == "table" and reflected and str(name).startswith(HOUSE_TABLES))
