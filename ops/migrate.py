"""Migrations: Alembic for each service's own database, run as its owner."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text

from shared.contracts import SERVICES
from shared.db import database_url
from shared.settings import Settings

log = structlog.get_logger()

LOCK = 7_003


class NotMigrated(Exception):
    """A database cannot be brought to its newest version, and stays as it was; the sentence says whose and why."""


def config_of(settings: Settings, service: str, database: str = "") -> Config:
    """Alembic's configuration of one service; `database` names another one, such as a test's template."""
    config = Config()
    folder = Path(__file__).parent.parent / "services" / service / "migrations"
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = database_url(settings, service, "owner", database)
    return config


def migrate(settings: Settings, service: str, database: str = "") -> None:
    """Bring one service's database to the newest version, by the operator's settings. Raises NotMigrated.

    Safe to run twice and from two places at once.
    """
    with _migrated(settings, service, database):
        pass


def migrate_all(settings: Settings) -> None:
    """Bring all databases to the newest version, or leave each as it was. Raises NotMigrated.

    For a house at rest: until the last one is through, whoever uses the first waits.
    """
    with contextlib.ExitStack() as begun:
        for service in SERVICES:
            begun.enter_context(_migrated(settings, service))


@contextlib.contextmanager
def _migrated(settings: Settings, service: str, database: str = "") -> Iterator[None]:
    """One service's database at the newest version; it is kept when the block ends well."""
    config = config_of(settings, service, database)
    with create_engine(config.attributes["url"], poolclass=NullPool).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        if _is_ahead(connection, config):
            log.warning("a newer version has migrated this database, and only added to it", service=service)
        else:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except Exception as error:
                said = str(error).strip().splitlines()[0]
                raise NotMigrated(f"The database of {service} cannot be migrated: {said}") from error
        yield


def _is_ahead(connection: Connection, config: Config) -> bool:
    """Whether a newer version than ours was here: migrations only add, so that ours runs on what it left.

    Revisions are numbers, each one higher than the one before.
    """
    ours = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    at = MigrationContext.configure(connection).get_current_revision()
    return at is not None and at > max(ours)
