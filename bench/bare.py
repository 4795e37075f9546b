"""The least that posting can cost: the very rows that it wrote last, put by bare `unnest` into tables made alike."""

import time
from typing import Any

import psycopg
from psycopg import sql

_OF_FACTS = "seq IN (SELECT seq FROM archive JOIN newest USING (fact_id))"
TABLES = {
    "archive": "fact_id IN (SELECT fact_id FROM newest)",
    "entry": "id IN (SELECT id FROM newest)",
    "leg": "entry IN (SELECT id FROM newest)",
    "line": _OF_FACTS,
}
"""What posting writes a row of for each fact or entry, and which of its rows belong to the newest entries."""

_NEWEST = (
    "CREATE TEMP TABLE newest AS SELECT id, fact_id FROM entry "
    "WHERE seq IN (SELECT seq FROM archive ORDER BY seq DESC LIMIT {count})"
)
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
ORDER BY attnum
"""

Statement = tuple[sql.Composed, list[Any]]


async def bare_rate(address: str, facts: int, batches: int) -> float:
    """Facts a second whose rows are all put, a transaction a batch."""
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as database:
        await database.execute(_NEWEST.format(count=facts))
        statements = [await _statement(database, table) for table in TABLES]
        bare = sql.SQL(", ").join(sql.Identifier(f"bare_{table}") for table in TABLES)
        seconds = 0.0
        for _ in range(batches):
            started = time.perf_counter()
            async with database.transaction():
                for text, columns in statements:
                    await database.execute(text, columns)
            seconds += time.perf_counter() - started
            await database.execute(sql.SQL("TRUNCATE {}").format(bare))
        await database.execute(sql.SQL("DROP TABLE {}, newest").format(bare))
    return batches * facts / seconds


async def _statement(database: psycopg.AsyncConnection[Any], table: str) -> Statement:
    """Make a table alike, and the statement that fills it with the rows of the newest entries."""
    names = {"table": sql.Identifier(table), "bare": sql.Identifier(f"bare_{table}")}
    await database.execute(sql.SQL("CREATE TABLE {bare} (LIKE {table} INCLUDING ALL)").format(**names))
    columns = await (await database.execute(_COLUMNS, [table])).fetchall()
    # What unnest would take apart travels as text.
    plain = {name: "text" if kind.endswith("[]") or kind == "jsonb" else kind for name, kind in columns}
    found = await database.execute(
        sql.SQL("SELECT {columns} FROM {table} WHERE " + TABLES[table]).format(  # noqa: S608 - ours
            **names,
            columns=sql.SQL(", ").join(
                sql.SQL("{}::" + plain[name]).format(sql.Identifier(name)) for name, _ in columns
            ),
        )
    )
    rows = await found.fetchall()
    assert rows, f"posting left nothing in {table}"
    text = sql.SQL(
        "INSERT INTO {bare} ({columns}) SELECT {cast} FROM unnest({given}) AS t({columns})"
    ).format(
        **names,
        columns=sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
        cast=sql.SQL(", ").join(
            sql.SQL("{}::" + kind).format(sql.Identifier(name)) for name, kind in columns
        ),
        given=sql.SQL(", ").join(sql.SQL("%s::" + plain[name] + "[]") for name, _ in columns),
    )
    return text, [list(column) for column in zip(*rows, strict=True)]
