"""What one service holds opens that service alone."""

from itertools import combinations

import msgspec
import psycopg
import pytest

from ops.keys import SELLERS, Former, as_service, of_service
from shared import clock, links
from shared.contracts import SERVICES
from shared.errors import NotFound
from shared.keys import OPERATOR, derived, nats_password, postgres_password
from shared.settings import Settings

SECRET = "o" * 64


@pytest.mark.promise("T11")
def test_no_two_services_hold_the_same_secret_but_the_one_for_forms():
    before = Former("b" * 64, 0)
    holds = {service: of_service(SECRET, service, [before]) for service in SERVICES}
    for one, other in combinations(SERVICES, 2):
        ours, theirs = holds[one], holds[other]
        assert {name for name in ours if ours[name] == theirs.get(name)} == {"csrf_secret"}
    held = [value for service in SERVICES for value in holds[service].values()]
    for service in SERVICES:
        assert postgres_password(SECRET, service, "owner") not in held, "the owner's is for migrations alone"
    assert nats_password(SECRET, OPERATOR) not in held
    assert SECRET not in "".join(held)
    assert before.secret not in "".join(held)


def test_nothing_is_derived_from_an_empty_secret():
    with pytest.raises(ValueError, match="NGUONTHU_OPERATOR_SECRET"):
        derived("", "csrf")


@pytest.mark.promise("T11")
def test_the_password_of_a_service_opens_its_own_roles_and_neither_its_owner_nor_another_service(stack):
    ads = stack.settings("ads")

    def enter(database, role):
        psycopg.connect(f"{ads.postgres_url}/{database}", user=role, password=ads.postgres_password).close()

    enter("ads", "ads_web")
    enter("ads", "ads_worker")
    for database, role in (("ads", "ads_owner"), *((other, f"{other}_web") for other in SERVICES[2:])):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            enter(database, role)


@pytest.mark.promise("T11")
def test_a_seller_opens_payments_with_its_own_links_and_with_nobody_elses():
    payments = as_service(Settings(operator_secret=SECRET), "payments")
    invoice = clock.new_id()

    def link(signer, named):
        settings = as_service(Settings(operator_secret=SECRET), signer)
        keys = settings.pay_link_keys.replace(f"{signer}:", f"{named}:")
        return links.pay_link(
            msgspec.structs.replace(settings, pay_link_keys=keys),
            named,
            invoice,
            60,
            agency="bkh",
            amount_vnd=1,
        ).partition("?")[2]

    for seller in SELLERS:
        said, in_time = links.read_pay_link(payments, invoice, link(seller, seller))
        assert in_time
        assert said == {"seller": seller, "agency": "bkh", "amount": "1"}
        for other in SELLERS:
            if other != seller:
                with pytest.raises(NotFound):
                    links.read_pay_link(payments, invoice, link(seller, other))
        with pytest.raises(NotFound):
            links.read_pay_link(payments, clock.new_id(), link(seller, seller))
    with pytest.raises(NotFound):
        links.read_pay_link(payments, invoice, link("ads", "nobody"))


@pytest.mark.promise("T11")
def test_a_link_that_one_service_signed_for_itself_opens_nothing_of_another():
    ads, events = (as_service(Settings(operator_secret=SECRET), name) for name in ("ads", "events"))
    path, _, query = links.signed(ads, "/creatives/a", 60).partition("?")
    assert links.opened(ads, path, query) == {}
    with pytest.raises(NotFound):
        links.opened(events, path, query)
