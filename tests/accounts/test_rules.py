"""What accounts decides without looking anything up."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.accounts import rules
from services.accounts.actions import secrets

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


@given(st.text())
def test_wherever_next_points_it_stays_in_the_house(text):
    target = rules.safe_next(text)
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\"))
    assert "\n" not in target


@pytest.mark.parametrize(
    "text", ["/subscribe?plan=month&x=1", "/pay/0191?sig=ab%2F", "/events/night-run#buy"]
)
def test_a_path_of_the_house_is_kept(text):
    assert rules.safe_next(text) == text


def test_the_strictest_role_sets_how_long_a_session_may_rest():
    assert rules.idle_limit(["ad_ops", "finance", "administrator"]) == rules.IDLE["administrator"]
    assert rules.idle_limit(["reader"]) == rules.PERSON_SESSION
    assert rules.session_ends(["reader", "auditor"], NOW) == NOW + rules.STAFF_SESSION


@pytest.mark.promise("T10")
def test_a_password_is_hashed_as_agreed_and_fits_only_itself():
    import asyncio

    hashed = asyncio.run(secrets.hash_password("mot-mat-khau-du-dai"))
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    shown = asyncio.run(secrets.compare_password("mot-mat-khau-du-dai", hashed))
    assert shown.fits
    assert shown.is_still(hashed)
    assert not shown.is_still(asyncio.run(secrets.hash_password("mot-mat-khau-du-dai"))), "changed meanwhile"
    assert not asyncio.run(secrets.compare_password("mot-mat-khau-du-daj", hashed)).fits
    nobody = asyncio.run(secrets.compare_password("", None))
    assert not nobody.fits
    assert not nobody.is_still(None), "who has no password is signed in by none"


def test_a_totp_code_drifts_by_one_step_and_counts_once():
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    import pyotp

    code = pyotp.TOTP(secret).at(NOW)
    step = secrets.totp_step(secret, code, NOW + timedelta(seconds=30), 0)
    assert step is not None
    assert secrets.totp_step(secret, code, NOW + timedelta(seconds=30), step) is None
    assert secrets.totp_step(secret, code, NOW + timedelta(seconds=90), 0) is None
    assert secrets.totp_step(secret, "１２３４５６", NOW, 0) is None, "digits of a keyboard of another script"


@given(st.emails())
def test_a_masked_address_tells_its_owner_and_nobody_else(email):
    masked = rules.masked(email)
    name = email.partition("@")[0]
    assert masked.endswith(email.partition("@")[2])
    assert len(name) <= 2 or name not in masked
