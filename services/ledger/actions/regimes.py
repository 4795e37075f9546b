"""Which chart of accounts an agency keeps: chosen by a fact of the ledger's own, which the archive keeps."""

from datetime import date

import msgspec
import sqlalchemy as sa

from services.ledger.actions.posting import apply, become_writer, reached
from services.ledger.actions.storing import Source
from services.ledger.rules.posting import VERSION, RegimeChosen
from shared import clock
from shared.calendar import local_day
from shared.db import Tx


async def set_regime(tx: Tx, agency: str, since: date, regime: str) -> None:
    """From a day on an agency keeps another chart of accounts: a re-mapping, never a re-posting."""
    await become_writer(tx)
    now = clock.now()
    fact = RegimeChosen(agency=agency, since=since, regime=regime)
    await apply(
        tx, [Source(fact, msgspec.json.encode(fact), now, VERSION)], await reached(tx, local_day(now))
    )
    await tx.execute(
        sa.text(
            "INSERT INTO regime (agency, since, regime) VALUES (:agency, :since, :regime) "
            "ON CONFLICT (agency, since) DO UPDATE SET regime = excluded.regime"
        ),
        {"agency": agency, "since": since, "regime": regime},
    )
