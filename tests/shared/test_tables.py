"""Tables on a phone: a row is a card, and each cell says what it is."""

from markupsafe import Markup

from shared.web.formats import labelled


def test_each_cell_of_a_hand_written_table_bears_its_heading_for_phones():
    rows = Markup('<tr class="a"><td>1</td><th scope="row">2</th></tr>\n<tr><td class="num">3</td></tr>')
    assert labelled(rows, ["<Nợ>", ("Có", "num")]) == (
        '<tr class="a"><td data-label="&lt;Nợ&gt;">1</td><th data-label="Có" scope="row">2</th></tr>\n'
        '<tr><td data-label="&lt;Nợ&gt;" class="num">3</td></tr>'
    )
