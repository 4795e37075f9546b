"""Alembic's door to this service."""

from services.ledger.tables import Base
from shared.migrations import run

run(Base.metadata)
