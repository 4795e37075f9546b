"""After a turn of the operator's secret the one of before opens in its time what it signed, and signs nothing."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from ops.embedded.keys import Keys
from ops.keys import CASHIER, Former, of_service
from services.accounts.actions import secrets
from shared import clock, links, strangers
from shared.errors import NotFound
from shared.settings import Settings

pytestmark = pytest.mark.promise("T11")

BEFORE, NOW = "b" * 64, "n" * 64
INVOICE = UUID("0199f3a0-7d2c-7c1e-9b64-3f2a5d8e1c70")
LATER = int((clock.now() + timedelta(days=1)).timestamp())
EARLIER = int((clock.now() - timedelta(days=1)).timestamp())


def held(service: str, secret: str, *formers: Former) -> Settings:
    return msgspec.structs.replace(Settings(), **of_service(secret, service, formers))


def turned(service: str, until: int = LATER) -> Settings:
    return held(service, NOW, Former(BEFORE, until))


def opens(settings: Settings, link: str) -> bool:
    path, _, query = link.partition("?")
    try:
        return links.opened(settings, path, query) == {"agency": "bkh"}
    except NotFound:
        return False


def pays(settings: Settings, link: str) -> bool:
    try:
        return links.read_pay_link(settings, INVOICE, link.partition("?")[2])[1]
    except NotFound:
        return False


def test_a_link_of_before_opens_until_its_key_is_over_or_has_leaked() -> None:
    link = links.signed(held("events", BEFORE), "/events/tickets/1", 60, agency="bkh")
    assert opens(turned("events"), link)
    assert not opens(turned("events", EARLIER), link)
    assert not opens(turned("events", 0), link)
    assert not opens(turned("ads"), link)


def test_what_is_signed_since_needs_no_key_of_before() -> None:
    link = links.signed(turned("events"), "/events/tickets/1", 60, agency="bkh")
    assert opens(held("events", NOW), link)
    assert not opens(held("events", BEFORE), link)


def test_a_link_of_the_turn_before_the_last_opens_too() -> None:
    link = links.signed(held("events", "a" * 64), "/events/tickets/1", 60, agency="bkh")
    both = (Former(BEFORE, LATER), Former("a" * 64, LATER))
    assert opens(held("events", NOW, *both), link)
    assert not opens(held("events", NOW, both[0]), link)


def test_a_sellers_pay_link_of_before_opens_at_payments_alone_and_in_its_time() -> None:
    link = links.pay_link(held("ads", BEFORE), "ads", INVOICE, 60, agency="bkh", amount_vnd=1)
    assert pays(turned(CASHIER), link)
    assert not pays(turned(CASHIER, 0), link)
    assert not pays(turned("events"), link)


@pytest.mark.parametrize(("seller", "key"), [("until", str(LATER)), ("", "")], ids=["until", "empty"])
def test_nothing_that_is_known_beside_the_keys_is_taken_for_one(seller: str, key: str) -> None:
    forger = msgspec.structs.replace(Settings(), pay_link_keys=f"{seller}:{key}")
    link = links.pay_link(forger, seller, INVOICE, 60, agency="bkh", amount_vnd=1)
    assert not pays(turned(CASHIER), link)


def test_a_device_that_was_known_before_is_known_still() -> None:
    secret = "d" * strangers.SECRET_LENGTH
    value = strangers.device_value(held("accounts", BEFORE), secret)
    name = strangers.device_cookie(Settings())
    assert strangers.device_of(turned("accounts"), {name: value}) == secret
    assert strangers.device_of(turned("accounts", 0), {name: value}) == ""


def test_a_code_of_before_fits_in_its_time() -> None:
    kept = secrets.short_digest(held("accounts", BEFORE), "123456", INVOICE)
    assert secrets.fits(turned("accounts"), "123456", INVOICE, kept)
    assert kept in secrets.short_digests(turned("accounts"), "123456", INVOICE)
    assert not secrets.fits(turned("accounts", 0), "123456", INVOICE, kept)


def test_a_seal_of_before_opens_whenever_it_was_made() -> None:
    sealed = secrets.seal(held("accounts", BEFORE), "JBSWY3DP")
    assert secrets.unseal(turned("accounts", 0), sealed) == "JBSWY3DP"
    anew = secrets.seal(turned("accounts", 0), "JBSWY3DP")
    assert anew.startswith(secrets.seal_name(held("accounts", NOW)))
    assert secrets.unseal(held("accounts", NOW), anew) == "JBSWY3DP"
    with pytest.raises(secrets.InvalidTag):
        secrets.unseal(held("accounts", NOW), sealed)


def test_each_turn_keeps_what_opens_and_a_leak_ends_all_of_it(tmp_path) -> None:
    keys = Keys(tmp_path)
    first = keys.text("operator")
    keys.turn_operator(LATER, leaked=False)
    second = keys.text("operator")
    keys.turn_operator(LATER + 1, leaked=False)
    assert keys.formers() == [Former(second, LATER + 1), Former(first, LATER)]
    assert len({first, second, keys.text("operator")}) == 3
    assert (tmp_path / "operator_former").stat().st_mode & 0o077 == 0
    keys.turn_operator(LATER, leaked=True)
    assert [former.until for former in keys.formers()] == [0, 0, 0]
