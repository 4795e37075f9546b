"""The tables of the books as the database makes them: at first, and beside the running ones when they are rebuilt."""

from pathlib import Path

from shared.contracts import sandbox
from shared.db import secure_ddl

KEPT = ("archive", "entry", "leg", "part")
"""What is only ever added to."""

DERIVED = ("rollup", "line", "book", "reached")
"""What follows from it, and changes with it."""

BOOKS = (*KEPT, *DERIVED)


def functions_ddl() -> list[str]:
    """SQL for what the books call: made once, and working on those that are first in the search path."""
    revoked = "REVOKE ALL ON FUNCTION open_month FROM PUBLIC"
    return [*_parts("functions.sql"), revoked, "GRANT EXECUTE ON FUNCTION open_month TO ledger_worker"]


def books_ddl() -> list[str]:
    """SQL for the books in the schema that is first in the search path, with the rights on them."""
    made = _parts("books.sql")
    for table in BOOKS:
        made.append(f"REVOKE ALL ON {table} FROM ledger_web, ledger_worker")
        made.append(f"GRANT SELECT ON {table} TO ledger_web")
        rights = "SELECT, INSERT" if table in KEPT else "SELECT, INSERT, UPDATE"
        made.append(f"GRANT {rights} ON {table} TO ledger_worker")
    made += (
        f"CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in KEPT
    )
    for table in ("entry", "leg", "part", "rollup", "line", "book"):
        made += secure_ddl("ledger", table)
    ours = "agencies && string_to_array(current_setting('app.agencies', true), ',')"
    return made + secure_ddl("ledger", "archive", scope=ours)


def _parts(name: str) -> list[str]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [part.strip().replace("{sandbox}", sandbox.in_sql("agency")) for part in text.split("\n\n\n")]
