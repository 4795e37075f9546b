"""The database that migrations make is the one that the models declare."""

import pytest
from alembic import command

from ops.migrate import config_of, migrate
from shared.contracts import SERVICES


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
