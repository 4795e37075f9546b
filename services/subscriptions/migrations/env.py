"""Alembic's door to this service."""

from services.subscriptions.tables import Base
from shared.migrations import run

run(Base.metadata)
