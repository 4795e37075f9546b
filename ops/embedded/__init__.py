"""The embedded house: the databases and servers that the services need, from wheels, in one folder, on loopback."""

from ops.embedded.databases import bootstrap_databases, clone_database, wait_for_postgres
from ops.embedded.process import CannotStart
from ops.embedded.stack import STORES, Stack, running

__all__ = [
    "STORES",
    "CannotStart",
    "Stack",
    "bootstrap_databases",
    "clone_database",
    "running",
    "wait_for_postgres",
]
