"""What the tables of all flats have in common."""

from importlib import import_module

import sqlalchemy as sa

from shared.contracts import SERVICES

BASES = {service: import_module(f"services.{service}.tables").Base for service in SERVICES}


def test_six_flats_live_in_one_process_and_each_declares_its_own_tables_alone():
    assert len({id(base.metadata) for base in BASES.values()}) == len(SERVICES)
    for service, base in BASES.items():
        rows = {kind.__table__ for kind in base.__subclasses__()}
        assert rows == set(base.metadata.tables.values()), service


def test_money_fits_any_sum_and_every_instant_knows_its_zone():
    columns = [c for base in BASES.values() for table in base.metadata.tables.values() for c in table.c]
    money = [c for c in columns if c.name.endswith("_vnd")]
    assert money
    assert [str(c) for c in money if not isinstance(c.type, sa.BigInteger)] == []
    instants = [c for c in columns if isinstance(c.type, sa.DateTime)]
    assert instants
    assert [str(c) for c in instants if not c.type.timezone] == []
