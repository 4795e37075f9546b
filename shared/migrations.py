"""How Alembic works on one service's database: only on the tables that the service declares."""

from alembic import context
from sqlalchemy import Connection, MetaData, NullPool, create_engine
from sqlalchemy.schema import SchemaItem

from shared.db import FLAT_TABLES


def run(metadata: MetaData) -> None:
    """Bring a service's database to what its tables declare; each `migrations/env.py` calls it.

    It happens in the transaction that is handed in, which whoever began it ends.
    """
    given = context.config.attributes
    if "connection" in given:
        _run(given["connection"], metadata)
        return
    with create_engine(given["url"], poolclass=NullPool).connect() as connection:
        _run(connection, metadata)


def _run(connection: Connection, metadata: MetaData) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, include_object=_ours, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


def _ours(_item: SchemaItem, name: str | None, kind: str, reflected: bool, _other: SchemaItem | None) -> bool:  # noqa: FBT001 - Alembic's signature
    """Leave out the tables that every flat has, which the models of a service do not declare."""
    return not (kind == "table" and reflected and str(name).startswith(FLAT_TABLES))
