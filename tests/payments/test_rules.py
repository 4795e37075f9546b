"""The pure rules: VNPay's signatures against the published vectors, money split to the đồng, states that only go on."""

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.rules import attempts, invoices, refunds, vnpay
from services.payments.rules.proposals import NotAwaited, SamePerson
from shared import clock
from tests.payments import KNOWN, a_line

VECTORS = json.loads((Path(__file__).parent / "vnpay_vectors.json").read_text(encoding="utf-8"))
ORDERS = {"querydr-request": vnpay.QUERY_REQUEST, "refund-request": vnpay.REFUND_REQUEST}
NOW = datetime(2026, 1, 15, 2, 30, tzinfo=UTC)


@pytest.mark.promise("P2")
@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: str(vector["name"]))
def test_signatures_are_vnpays_own(vector: dict[str, Any]) -> None:
    order = ORDERS.get(vector["kind"])
    params = vector["params"]
    text = vnpay.pipe_text(params, order) if order else vnpay.query_text(params)
    assert text == vector["hash_input"]
    assert vnpay.sign(VECTORS["secret"], text) == vector["expected"]
    if order:
        signed = {**params, "vnp_SecureHash": vector["expected"]}
        assert vnpay.pipe_holds(VECTORS["secret"], signed, order)
        assert not vnpay.pipe_holds(VECTORS["secret"], {**signed, "vnp_TxnRef": "x"}, order)
        assert not vnpay.pipe_holds(VECTORS["secret"], params, order)
    else:
        query = f"{text}&vnp_SecureHash={vector['expected']}"
        assert vnpay.opened_query(query, KNOWN)["vnp_TxnRef"] == params["vnp_TxnRef"]


@pytest.mark.parametrize("info", ["a!b'c()*~d", "Báo Khánh Hòa", "a+b c%20d", "1,2.3_4-5"])
def test_a_query_is_believed_however_its_sender_encodes(info: str) -> None:
    from urllib.parse import quote, quote_plus

    secret = KNOWN["KHNEWS01"].secret
    for encode in (quote_plus, quote, lambda text: quote(text, safe="!'()*~")):
        raw = f"vnp_OrderInfo={encode(info)}&vnp_TmnCode=KHNEWS01"
        upper = vnpay.sign(secret, raw).upper()
        assert vnpay.opened_query(f"{raw}&vnp_SecureHash={upper}&other=1", KNOWN)["vnp_OrderInfo"] == info


def test_codes_are_read_as_vnpay_means_them() -> None:
    assert vnpay.verdict("00", "00") == "paid"
    assert vnpay.verdict("00", "01") == "unfinished"
    assert {vnpay.verdict("07", "00"), vnpay.verdict("00", "07"), vnpay.verdict("00", "05")} == {"suspect"}
    assert {vnpay.verdict(code, "02") for code in ("24", "51", "11", "99", "00")} == {"failed"}
    assert {vnpay.verdict("24", "00"), vnpay.verdict("", "")} == {"failed"}


def test_moments_are_those_of_viet_nam() -> None:
    assert vnpay.moment(NOW) == "20260115093000"
    assert vnpay.read_moment("20260115093000") == NOW
    assert vnpay.read_moment("20261315093000") is None


@given(st.text(max_size=400))
def test_order_info_is_always_what_vnpay_takes(text: str) -> None:
    import re

    assert re.fullmatch(r"[A-Za-z0-9 .,_-]{1,255}", vnpay.plain(text))


def test_an_address_that_breaks_vnpays_page_is_replaced() -> None:
    given = ["::1", "::ffff:203.0.113.9", "203.0.113.9", "x" * 60]
    assert [vnpay.address(text) for text in given] == ["127.0.0.1", "203.0.113.9", "203.0.113.9", "127.0.0.1"]


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**8)), min_size=1, max_size=20),
    st.integers(1, 10**10),
)
def test_a_payment_is_split_over_the_lines_to_the_dong(parts: list[tuple[int, int]], amount_vnd: int) -> None:
    lines = tuple(a_line(net, vat) for net, vat in parts)
    total = sum(line.gross_vnd for line in lines)
    if total == 0:
        return
    paid = invoices.allocated(lines, amount_vnd, {})
    assert sum(part.amount_vnd for part in paid) == amount_vnd
    whole = invoices.allocated(lines, total, {})
    assert [part.amount_vnd for part in whole] == [line.gross_vnd for line in lines]


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_never_more_goes_back_than_came(total: int, credited: int, captured: int, refunding: int) -> None:
    refunding = min(refunding, captured)
    owed = invoices.owed_back(total, credited, captured, refunding)
    assert 0 <= owed <= captured - refunding


def an_attempt(state: attempts.State = "open") -> attempts.Attempt:
    return attempts.Attempt(
        id=clock.new_id(),
        agency="bkh",
        invoice=clock.new_id(),
        state=state,
        amount_vnd=1000,
        terminal="KHNEWS01",
        reference="r",
        address="127.0.0.1",
        language="vi",
        started_at=NOW,
        expires_at=NOW + attempts.LASTS,
    )


def test_paid_is_final_and_late_money_is_still_taken() -> None:
    after = {}
    for state in get_args(attempts.State):
        for said in get_args(vnpay.Verdict):
            try:
                after[state, said] = attempts.heard(an_attempt(state), said)
            except attempts.AlreadyConcluded:
                after[state, said] = "02"
    assert {after["paid", said] for said in ("paid", "suspect", "failed")} == {"02"}
    assert {after[state, "paid"] for state in ("open", "held", "failed", "expired")} == {"paid"}
    assert {after[state, "unfinished"] == state for state in get_args(attempts.State)} == {True}
    assert (after["expired", "failed"], after["failed", "failed"], after["held", "failed"]) == (
        "02",
        "02",
        "failed",
    )


def test_what_the_bank_does_not_know_ends_two_minutes_after_its_time_and_unfinished_ten() -> None:
    def asked(minutes: float, *, known: bool) -> str:
        at = NOW + attempts.LASTS + timedelta(minutes=minutes)
        return attempts.answered(an_attempt(), known_there=known, verdict="unfinished", now=at)

    assert [asked(m, known=False) for m in (-14, 1.9, 2)] == ["open", "open", "expired"]
    assert [asked(m, known=True) for m in (-14, 2, 9.9, 10)] == ["open", "open", "open", "expired"]


def a_refund(state: refunds.State, **changes: Any) -> refunds.Refund:
    made = refunds.Refund(
        id=clock.new_id(),
        agency="bkh",
        capture=clock.new_id(),
        cause="person",
        amount_vnd=1000,
        state=state,
        request="r",
        asked_by=clock.new_id(),
        asked_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def test_two_persons_from_the_threshold_on() -> None:
    limit = refunds.TWO_PERSONS_FROM_VND
    nothing = refunds.Besides()
    assert [refunds.needs_two(amount, nothing) for amount in (limit - 1, limit)] == [False, True]
    states = [
        refunds.first_state(1, 1, two=two, seller=seller) for two, seller in product((True, False), repeat=2)
    ]
    assert states == ["asked", "asked", "approved", "due"]
    with pytest.raises(refunds.OverRefunded):
        refunds.first_state(1001, 1000, two=False, seller=True)
    asked = a_refund("asked")
    assert asked.asked_by is not None
    with pytest.raises(SamePerson):
        refunds.approved(asked, asked.asked_by, good=True, seller=True)
    assert refunds.approved(asked, asked.asked_by, good=False, seller=True) == "rejected"
    assert refunds.approved(asked, clock.new_id(), good=True, seller=True) == "approved"
    assert refunds.approved(asked, clock.new_id(), good=True, seller=False) == "due"
    for state in set(get_args(refunds.State)) - {"asked"}:
        with pytest.raises(NotAwaited):
            refunds.approved(a_refund(state), clock.new_id(), good=True, seller=True)


@given(
    st.lists(st.integers(1, 30_000_000), min_size=1, max_size=12),
    st.sampled_from(["capture_vnd", "payer_vnd", "asker_vnd"]),
)
def test_however_a_sum_is_sliced_no_slice_that_reaches_the_threshold_goes_by_one_person(
    slices: list[int], over: str
) -> None:
    gone = alone = 0
    for amount in slices:
        if not refunds.needs_two(amount, refunds.Besides(**{over: gone})):
            alone += amount
        gone += amount
    assert alone < refunds.TWO_PERSONS_FROM_VND


def test_a_seller_answers_once_and_never_more_goes_back_than_it_owes() -> None:
    asked = a_refund("approved", amount_vnd=1000)
    assert [refunds.granted(asked, owed) for owed in (400, 1000, 5000)] == [
        ("due", 400),
        ("due", 1000),
        ("due", 1000),
    ]
    assert refunds.granted(asked, 0)[0] == "refused"
    for state in set(get_args(refunds.State)) - {"approved"}:
        with pytest.raises(NotAwaited):
            refunds.granted(a_refund(state), 1000)


def test_what_its_seller_owes_can_be_asked_for_anew_and_what_a_person_wished_cannot() -> None:
    owed = {"credit": clock.new_id(), "cause": "credit"}
    assert [a_refund(state, **owed).waits_for_renewal for state in ("failed", "rejected", "due")] == [
        True,
        True,
        False,
    ]
    assert a_refund("rejected", cause="declined").waits_for_renewal
    assert not a_refund("rejected").waits_for_renewal
    with pytest.raises(NotAwaited):
        refunds.require_renewable(a_refund("refused"))


def test_a_refund_is_tried_five_times_and_then_shown_to_a_person() -> None:
    assert [refunds.unanswered(tries, NOW)[0] for tries in range(1, 6)] == ["sent"] * 4 + ["unclear"]
    assert refunds.answered("00", "05") == "completed"
    assert refunds.answered("00", "09") == "failed"
    assert refunds.answered("94", "") == "unclear"
    assert refunds.answered("91", "") == "failed"
    with pytest.raises(NotAwaited):
        refunds.cleared(a_refund("completed"), went=True)
