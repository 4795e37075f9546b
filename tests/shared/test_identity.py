"""One spelling for each person and organisation, and no way out of the house."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import identity
from shared.errors import Unprocessable


@pytest.mark.parametrize("code", ["4200123454", "0100109106", "0300588569", "0101248141", "001203004567"])
def test_real_tax_codes_are_taken_as_they_are(code):
    assert identity.tax_code(code) == code


def test_a_branch_is_written_with_its_dash():
    assert identity.tax_code("4200123454001") == "4200123454-001"
    assert identity.tax_code(" 4200 123 454-001") == "4200123454-001"


@pytest.mark.parametrize(
    "code", ["4200123455", "0100109107", "420012345", "42001234540", "", "٤٢٠٠١٢٣٤٥٤", "ABCDEFGHIJ"]
)
def test_wrong_tax_codes_are_refused(code):
    with pytest.raises(Unprocessable):
        identity.tax_code(code)


@given(st.integers(0, 10**9 - 1).map("{:09}".format), st.integers(0, 9))
def test_of_ten_last_digits_at_most_one_fits(nine, digit):
    right = identity.tax_check_digit(nine)
    if digit == right:
        assert identity.tax_code(f"{nine}{digit}") == f"{nine}{digit}"
    else:
        with pytest.raises(Unprocessable):
            identity.tax_code(f"{nine}{digit}")


@pytest.mark.parametrize("text", ["0905123456", "090 512 3456", "+84905123456", "0905.123.456"])
def test_one_phone_has_one_spelling(text):
    assert identity.identifier(text) == ("phone", "+84905123456")


@pytest.mark.parametrize(
    ("value", "counted"),
    [
        ("lan@example.vn", "lan@example.vn"),
        ("lan+tin@example.vn", "lan@example.vn"),
        ("lan+tin+nua@example.vn", "lan@example.vn"),
        ("l.a.n@example.vn", "l.a.n@example.vn"),
        ("l.a.n+tin@gmail.com", "lan@gmail.com"),
        ("+84905123456", "+84905123456"),
    ],
)
def test_letters_to_one_mailbox_are_counted_under_one_name(value, counted):
    assert identity.mailbox(value) == counted


@pytest.mark.parametrize(
    "text", ["lan", "lan@", "@vn.vn", "lan@vn", "a b@vn.vn", "1234", "lan@vn.vn\r\nBcc: x@y.vn", ""]
)
def test_what_is_neither_e_mail_nor_phone_is_refused(text):
    with pytest.raises(Unprocessable):
        identity.identifier(text)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (identity.email, "lan"),
        (identity.phone, "lan"),
        (identity.tax_code, "123"),
        (identity.tax_code, "4200123455"),
    ],
)
def test_a_refusal_stands_at_the_field_that_it_was_read_from(read, text):
    with pytest.raises(Unprocessable) as refused:
        read(text, "contact")
    assert refused.value.more["field"] == "contact"


@pytest.mark.parametrize("text", ["/", "/bai/1?x=1&y=ab%2F", "/events/night-run#buy"])
def test_a_path_of_the_house_is_one(text):
    assert identity.is_local_path(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bai",
        "//evil.example",
        "/\\evil.example",
        "/a//b",
        "https://evil.example/",
        "/a b",
        "/a\n",
        "/a\u200b",
        "/" * 3000,
    ],
)
def test_what_could_lead_elsewhere_is_none(text):
    assert not identity.is_local_path(text)
