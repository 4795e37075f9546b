"""The database that migrations make is the one that the models declare."""

import re

import pytest
from alembic import command

from ops.migrate import config_of, migrate
from shared.contracts import SERVICES
from tests.shared.homes import ROOT

FIRST = "0001"
"""Until the first release tag no house lives, and this one changes in place: there is nothing before it to break."""

TAKES_AWAY = re.compile(
    r"\b(drop_(table|column|constraint|index)|rename_table|alter_column|batch_alter_table|execute_batch)\b"
    r"|\b(DROP|RENAME|TRUNCATE|DELETE\s+FROM|SET\s+NOT\s+NULL|REVOKE|ALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE)\b",
    re.IGNORECASE,
)
"""What the version before may still stand on, or could no longer write."""

NEW_COLUMN = re.compile(
    r"add_column\((.*?)\)\s*$|ADD COLUMN (.*?)[;\"']", re.MULTILINE | re.DOTALL | re.IGNORECASE
)


def contracting(text: str) -> list[str]:
    """Where a migration does more than add: the version before runs on beside it, and writes rows as it knows them."""
    upgrade = text.partition("def downgrade")[0]
    found = [match.group() for match in TAKES_AWAY.finditer(upgrade)]
    for match in NEW_COLUMN.finditer(upgrade):
        said = (match.group(1) or match.group(2)).lower()
        needed = "nullable=false" in said.replace(" ", "") or "not null" in said
        if needed and "server_default" not in said and " default " not in said:
            found.append(match.group())
    return found


@pytest.mark.promise("T5")
@pytest.mark.parametrize("service", SERVICES)
def test_migrations_only_add_from_the_first_release_on(service):
    versions = (ROOT / "services" / service / "migrations" / "versions").glob("*.py")
    later = [path for path in versions if not path.name.startswith(FIRST)]
    assert {path.name: contracting(path.read_text(encoding="utf-8")) for path in later} == {
        path.name: [] for path in later
    }


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    ("step", "adds"),
    [
        ("op.add_column('agency', sa.Column('motto', sa.Text))", True),
        ("op.add_column('agency', sa.Column('motto', sa.Text, nullable=False, server_default=''))", True),
        ("op.create_table('motto', sa.Column('text', sa.Text, nullable=False))", True),
        ("op.execute(\"ALTER TABLE agency ADD COLUMN motto text NOT NULL DEFAULT ''\")", True),
        ('op.execute("CREATE INDEX motto_of ON agency (motto)")', True),
        ("op.add_column('agency', sa.Column('motto', sa.Text, nullable=False))", False),
        ('op.execute("ALTER TABLE agency ADD COLUMN motto text NOT NULL")', False),
        ("op.drop_column('agency', 'name')", False),
        ("op.alter_column('agency', 'name', new_column_name='called')", False),
        ('op.execute("ALTER TABLE agency RENAME COLUMN name TO called")', False),
        ('op.execute("ALTER TABLE agency ALTER COLUMN name SET NOT NULL")', False),
        ('op.execute("ALTER TABLE agency ALTER COLUMN name TYPE integer")', False),
        ('op.execute("DROP TABLE agency")', False),
    ],
)
def test_a_migration_that_takes_away_renames_or_narrows_is_found(step, adds):
    assert (contracting(f"def upgrade():\n    {step}\n") == []) == adds


@pytest.mark.parametrize("service", SERVICES)
def test_migrations_and_models_agree_and_a_second_run_changes_nothing(stack, templates, service):
    name = templates.name(service)
    settings = stack.settings()
    migrate(settings, service, name)
    command.check(config_of(settings, service, name))


@pytest.mark.parametrize("service", SERVICES)
def test_every_table_with_an_agency_is_under_row_level_security(stack, templates, service):
    import psycopg

    name = templates.name(service)
    with psycopg.connect(stack.admin_url(name)) as connection:
        open_tables = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'agency' "
            "WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace "
            "AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
        ).fetchall()
    assert open_tables == []
