"""Alembic's door to this service."""

from shared.migrate import run

run("events")
