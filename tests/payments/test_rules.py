"""The pure rules: VNPay's signatures against the published vectors, money split to the đồng, states that only go on."""

import json
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.rules import attempts, captures, invoices, refunds, vnpay
from services.payments.rules.proposals import NotAwaited, SamePerson
from shared import clock
from shared.money import priced
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


lines_ = st.lists(st.tuples(st.integers(1, 10**8), st.integers(0, 10**8)), min_size=1, max_size=8)


@pytest.mark.promise("P7")
@given(lines_, st.integers(1, 10**9), st.data())
def test_whatever_was_credited_and_came_the_parts_sum_to_the_payment_and_what_is_owed_is_paid_first(
    sold: list[tuple[int, int]], amount_vnd: int, data: st.DataObject
) -> None:
    lines = tuple(a_line(gross, 0) for gross, _ in sold)
    credited = {line.id: min(back, line.gross_vnd) for line, (_, back) in zip(lines, sold, strict=True)}
    owed = [line.gross_vnd - credited[line.id] for line in lines]
    if data.draw(st.booleans()):
        amount_vnd = data.draw(st.integers(max(1, sum(owed)), sum(line.gross_vnd for line in lines)))
    parts = [part.amount_vnd for part in invoices.allocated(lines, amount_vnd, credited)]
    assert sum(parts) == amount_vnd
    assert min(parts) >= 0
    if amount_vnd >= sum(owed):
        assert all(part >= due for part, due in zip(parts, owed, strict=True))
    if amount_vnd <= sum(line.gross_vnd for line in lines):
        assert all(part <= line.gross_vnd for part, line in zip(parts, lines, strict=True))


@pytest.mark.promise("L4")
@given(lines_, st.integers(1, 10**9))
def test_the_vat_inside_a_payment_is_each_lines_share_of_its_vat_and_all_of_it_where_the_line_is_paid_whole(
    sold: list[tuple[int, int]], amount_vnd: int
) -> None:
    lines = tuple(a_line(net, net * 8 // 100) for net, _ in sold)
    total = sum(line.gross_vnd for line in lines)
    assert [part.vat_vnd for part in invoices.allocated(lines, total, {})] == [line.vat_vnd for line in lines]
    for part in invoices.allocated(lines, min(amount_vnd, total), {}):
        exact = part.line.vat_vnd * part.amount_vnd
        assert part.vat_vnd * part.line.gross_vnd <= exact < (part.vat_vnd + 1) * part.line.gross_vnd


def test_a_discount_is_paid_with_what_it_discounts_also_after_it_was_credited() -> None:
    lines = (a_line(100_000, 0), a_line(-10_000, 0))
    whole = {lines[0].id: 100_000, lines[1].id: -10_000}
    assert [part.amount_vnd for part in invoices.allocated(lines, 90_000, whole)] == [100_000, -10_000]
    assert [part.amount_vnd for part in invoices.allocated(lines, 90_000, {})] == [100_000, -10_000]
    assert sum(part.amount_vnd for part in invoices.allocated(lines, 50_000, {})) == 50_000


def a_bill(*lines: Any, collect: str = "prepaid") -> invoices.Invoice:
    return invoices.Invoice(
        id=clock.new_id(),
        agency="bkh",
        seller="ads",
        number="QC-1",
        collect=collect,  # type: ignore[arg-type]
        expires_at=NOW,
        return_url="",
        lines=lines,
        total_vnd=sum(line.gross_vnd for line in lines),
    )


LAST, FIRST = date(2026, 12, 31), date(2027, 1, 1)
"""The last day of 8 %, the first of 10 %."""


@pytest.mark.promise("P7")
def test_the_agreed_gross_is_split_by_the_rate_of_the_day_of_its_money() -> None:
    quoted = priced(1_000_000, "standard", LAST)
    line = a_line(quoted.net_vnd, quoted.vat_vnd)
    before, after = (invoices.split_on(a_bill(line), day)[0] for day in (LAST, FIRST))
    assert before == line
    assert (after.gross_vnd, after.net_vnd, after.vat_vnd) == (1_080_000, 981_818, 98_182)
    assert invoices.split_on(a_bill(line, collect="on_terms"), FIRST) == (line,)


@pytest.mark.promise("P7")
@given(st.integers(-(10**10), 10**12), st.sampled_from(["exempt", "standard", "telecom"]))
def test_at_the_rate_that_was_quoted_the_split_is_what_was_quoted(net_vnd: int, vat_class: str) -> None:
    for day in (LAST, FIRST):
        quoted = priced(net_vnd, vat_class, day)
        line = a_line(quoted.net_vnd, quoted.vat_vnd, vat_class=vat_class)
        assert invoices.split_on(a_bill(line), day) == (line,)
        other = invoices.split_on(a_bill(line), FIRST if day == LAST else LAST)[0]
        assert other.gross_vnd == line.gross_vnd


def a_capture(**changes: Any) -> captures.Capture:
    made = captures.Capture(
        id=clock.new_id(),
        amount_vnd=1000,
        recorded_at=NOW,
        applied=False,
        refunding_vnd=0,
        offered_to="ads",
        answer=None,
    )
    return msgspec.structs.replace(made, **changes)


def test_an_offer_is_answered_once_and_what_went_back_cannot_be_taken() -> None:
    answered = captures.answered
    assert [answered(a_capture(), said) for said in ("taken", "declined")] == ["taken", "declined"]  # type: ignore[arg-type]
    assert answered(a_capture(applied=True, answer="taken"), "declined") is None
    assert answered(a_capture(answer="declined"), "declined") is None
    assert answered(a_capture(answer="declined"), "taken") == "too-late"
    assert answered(a_capture(refunding_vnd=1), "taken") == "too-late"
    assert answered(a_capture(answer="too-late"), "taken") is None
    with pytest.raises(captures.NotOffered):
        answered(a_capture(offered_to=""), "taken")


def test_late_money_is_its_sellers_for_three_days_and_then_the_desks() -> None:
    until = NOW + captures.OFFER_LASTS
    with pytest.raises(captures.OfferOpen, match="offered to ads since 2026-01-15 02:30 UTC"):
        captures.require_free(a_capture(), until - timedelta(seconds=1))
    captures.require_free(a_capture(), until)
    captures.require_free(a_capture(answer="declined"), NOW)
    captures.require_free(a_capture(offered_to=""), NOW)


def test_the_payer_is_told_of_money_what_is_so() -> None:
    def face(back: int = 0, going: int = 0, owed: int = 0, **changes: Any) -> str:
        return captures.standing(a_capture(**changes), back, going, owed)

    assert (face(), face(applied=True, refunding_vnd=1000)) == ("asking", "received"), "a wish moves nothing"
    assert (face(going=400), face(600, 400, applied=True)) == ("returning", "returning")
    assert (face(going=400, applied=True), face(owed=400, applied=True)) == ("received", "received")
    assert (face(owed=400), face(200, 300, 500, applied=True)) == ("owed", "owed")
    assert face(1000) == "returned"


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
    for state in set(get_args(refunds.State)) - {"approved", "dropped"}:
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
