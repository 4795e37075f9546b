"""How Alembic works on one service's database: one at a time, and only on the tables that the service declares."""

from alembic import context
from sqlalchemy import MetaData, create_engine, text
from sqlalchemy.schema import SchemaItem

from shared.db import FLAT_TABLES

LOCK = 7_003


def run(metadata: MetaData) -> None:
    """Bring a service's database to what its tables declare; each `migrations/env.py` calls it."""
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
    """Leave out the tables that every flat has, which the models of a service do not declare."""
    return not (kind == "table" and reflected and str(name).startswith(FLAT_TABLES))
