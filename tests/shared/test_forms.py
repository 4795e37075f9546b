"""How a posted form is read: whole numbers as people write them, and nothing guessed."""

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import http
from shared.errors import BadInput, Unprocessable
from shared.web.sentences import said
from tests.shared.door import Booking

MISSPELT = ["--5", "5e3", "1.5e3", "९", "-", "5000.00", "1.5", "1.5000", "0.123", "1234.567"]
MISSPELT += ["1.234.56", ".5", "5.", "1,234", "1.234,5", "1..234", "5 ₫ ₫", "₫5"]


@pytest.mark.parametrize("text", MISSPELT)
@pytest.mark.promise("F5")
def test_a_form_takes_no_other_spelling_of_a_whole_number_and_says_which_is_right(text):
    with pytest.raises(http.NotAWholeNumber, match=r"budget_vnd: .*Write 5000000 or 5\.000\.000"):
        http.read_form({"budget_vnd": text}, Booking)


@pytest.mark.promise("F5")
@pytest.mark.parametrize("text", ["9" * 19, "9" * 5000, "9.999.999.999.999.999.999", f"{'9' * 19} ₫"])
def test_a_number_that_is_too_great_is_refused_with_the_bound_of_its_field(text):
    for kind, most in ((Annotated[int, msgspec.Meta(ge=1, le=12)], 12), (int, http.MOST)):
        with pytest.raises(Unprocessable, match=rf"^The most is {most}\.$") as refused:
            http.read_form({"many": text}, msgspec.defstruct("Form", [("many", kind)]))
        assert refused.value.more["field"] == "many"
        assert said("vi", refused.value.sentence) == f"Nhiều nhất là {most}."
    with pytest.raises(Unprocessable, match=r"^The least is -9+\.$"):
        http.read_form({"many": f"-{text}"}, msgspec.defstruct("Form", [("many", int)]))


@pytest.mark.parametrize("text", ["", "  "])
def test_a_number_that_is_left_out_is_asked_for_and_not_called_wrong(text):
    with pytest.raises(Unprocessable, match=r"^Fill this in\.$") as refused:
        http.read_form({"budget_vnd": text}, Booking)
    assert refused.value.more["field"] == "budget_vnd"


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("contact_email", "This is not an e-mail address."),
        ("contact_phone", "This is not a phone number."),
        ("code", "Check how this is written."),
    ],
)
def test_what_is_written_in_no_form_that_fits_is_refused_at_its_field_without_a_pattern(field, sentence):
    kind = msgspec.defstruct("Form", [(field, Annotated[str, msgspec.Meta(pattern="^[0-9]@$")])])
    with pytest.raises(Unprocessable) as refused:
        http.read_form({field: "x"}, kind)
    assert (refused.value.sentence, refused.value.more["field"]) == (sentence, field)
    assert said("vi", sentence)


@pytest.mark.parametrize("behind", ["", " ₫", "\u00a0₫", "đ"])
@given(number=st.integers(-(10**17), 10**17))
def test_a_number_reads_as_it_was_shown(number, behind):
    assert http.whole_number(f"{number}{behind}") == number
    assert http.whole_number(f"{number:,}".replace(",", ".") + behind) == number


@given(text=st.from_regex(r"-?[0-9]{1,7}(\.[0-9]{0,4}){1,3}", fullmatch=True))
def test_a_dot_that_stands_elsewhere_than_between_groups_of_three_is_never_thrown_away(text):
    try:
        read = http.whole_number(text)
    except ValueError:
        return
    assert f"{read:,}".replace(",", ".") == text


@pytest.mark.parametrize("hint", [int, int | None, list[int], Annotated[int, msgspec.Meta(ge=0)]])
def test_every_number_of_a_form_is_read_by_the_same_rule(hint):
    kind = msgspec.defstruct("Form", [("many", hint)])
    with pytest.raises(http.NotAWholeNumber):
        http.read_form({"many": "5000.0"}, kind)
    assert http.read_form({"many": "5.000"}, kind).many in (5000, [5000])


def test_a_form_with_nul_is_refused():
    with pytest.raises(BadInput):
        http.read_form({"budget_vnd": "5", "name": "a\0b"}, Booking)
