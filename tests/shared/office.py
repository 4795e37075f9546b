"""A process of the sample service that leads and writes: `python -m tests.shared.office`, its settings on stdin."""

import asyncio
import contextlib
import os
import sys

import msgspec
import sqlalchemy as sa

from shared.db import Database
from shared.leader import Leader
from shared.settings import Settings


async def main(settings: Settings) -> None:
    """Lead for ever, and write the number of this process as often as it goes; whatever fails is tried again."""
    database, leader = Database(settings, "ads"), Leader(settings, "ads")

    async def work() -> None:
        while True:
            with contextlib.suppress(Exception):
                async with database.worker_tx() as tx:
                    await tx.execute(sa.text("SELECT pg_sleep(0.02)"))
                    await tx.execute(sa.text("INSERT INTO wrote VALUES (:who)"), {"who": os.getpid()})
            await asyncio.sleep(0.01)

    await leader.run(work)


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)))
