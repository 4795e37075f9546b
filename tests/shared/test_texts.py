"""What people may type: nothing that cannot be seen, and each letter one way."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import texts
from shared.errors import BadInput, Unprocessable
from shared.http import read_form, readable
from tests.shared.forms import NameForm

TURNED, ZERO_WIDTH, CONTROL, TAG = "\u202e", "\u200b", "\x07", "\U000e0041"
SEEN = "Công ty Yến sào\tKhánh Hòa\n(chi nhánh) 🐦 日本 – “xin chào”"


BLANK = ["\u034f", "\u115f", "\u1160", "\u17b4", "\u180b", "\u2800", "\u3164", "\uffa0"]
"""Letters and marks of scripts that show as nothing."""


@pytest.mark.parametrize(
    "sign", [*BLANK, TURNED, ZERO_WIDTH, CONTROL, TAG, "\u2066", "\ufeff", "\xad", "\x9f", "\u200d"]
)
def test_zero_width_control_and_turned_characters_are_refused_at_both_doors(sign):
    for sent in (json.dumps({"name": f"A{sign}B"}), json.dumps({"name": f"A{sign}B"}, ensure_ascii=False)):
        with pytest.raises(BadInput, match="cannot be seen"):
            readable(sent.encode())
    with pytest.raises(Unprocessable, match="cannot be seen"):
        read_form({"name": f"A{sign}B"}, NameForm)


def test_what_can_be_seen_is_taken_and_a_text_about_an_escape_too():
    for sent in (json.dumps(SEEN), json.dumps(SEEN, ensure_ascii=False), json.dumps("viết \\u202e thế này")):
        assert json.loads(readable(sent.encode())) == json.loads(sent)


def test_a_name_has_one_spelling_whatever_keyboard_typed_it():
    apart = unicodedata.normalize("NFD", "Nguyễn  Thị\tHuế ")
    assert texts.clean_name(apart) == "Nguyễn Thị Huế"
    assert read_form({"name": apart}, NameForm).name == "Nguyễn  Thị\tHuế"
    assert json.loads(readable(json.dumps(apart, ensure_ascii=False).encode())) == "Nguyễn  Thị\tHuế "


@given(st.text())
def test_a_readable_body_stays_the_same_json(text):
    sent = json.dumps({"a": text}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        kept = readable(sent)
    except BadInput:
        return
    assert json.loads(kept) == {"a": unicodedata.normalize("NFC", text)}
