"""What a typed text may mean, and that the database spells names as we do."""

from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Unprocessable
from shared.sought import plain, sought

NAMES = (
    "Trần Đình Ấn",
    "ĐẶNG THỊ ÁNH",
    "Nguyễn Phước Bửu",
    "Lý Hữu Nghĩa",
    "Công ty CP Yến sào",
    "Ơ Ư ơ ư đ Đ",
    "100 %_",
)


def test_names_are_compared_without_accents_and_in_lower_case():
    assert plain("Trần Đình Ấn") == "tran dinh an"
    assert sought("  Nguyễn   PHƯỚC ").name == "nguyen phuoc"


def test_the_database_spells_names_as_we_do(stack, templates):
    with psycopg.connect(stack.admin_url(templates.name("accounts"))) as connection:
        for name in NAMES:
            (spelt,) = connection.execute("SELECT plain(%s)", [name]).fetchone()
            assert spelt == plain(name)


def test_an_e_mail_or_phone_is_no_name_and_is_compared_in_our_spelling():
    assert (sought("Lan@Bao.Example").email, sought("Lan@Bao.Example").name) == ("lan@bao.example", "")
    assert (sought("0905 000.111").phone, sought("0905 000.111").name) == ("+84905000111", "")
    assert sought("01001 09106").tax_code == "0100109106"


def test_a_number_is_found_in_a_memo_with_or_without_its_dash():
    for memo in (
        "TB261127-0A1B2C3D4E5F",
        "MBVCB.99.thanh toan TB261127 0a1b2c3d4e5f.CT",
        "tb2611270a1b2c3d4e5f",
    ):
        assert "TB2611270A1B2C3D4E5F" in sought(memo).codes, memo


def test_money_is_read_as_people_write_it():
    assert [sought(text).amount_vnd for text in ("216.000 ₫", "216000", "216000đ")] == [216_000] * 3
    assert sought("216.00").amount_vnd is None
    assert sought("bib 216").amount_vnd is None


def test_an_id_is_one():
    key = UUID("0199f3a0-7d2c-7c1e-9b64-3f2a5d8e1c70")
    assert sought(str(key)).id == key


@pytest.mark.parametrize("short", ["", "  ", "ab", "a . b", "%%%", "--- ---", "a\u00a0b"])
def test_what_is_too_short_to_tell_is_refused_with_what_is_missing(short):
    with pytest.raises(Unprocessable, match="at least three letters or digits") as refused:
        sought(short)
    assert refused.value.more == {"field": "q"}


def test_what_nobody_types_is_refused():
    with pytest.raises(Unprocessable, match="at most 200"):
        sought("a" * 201)


@given(st.text(max_size=220))
def test_any_text_is_read_or_refused(text):
    try:
        found = sought(text)
    except Unprocessable:
        return
    assert all(found.codes)
