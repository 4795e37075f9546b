"""Links that carry their own permission."""

import pytest

from shared import links
from shared.errors import NotFound


class TestLinks:
    def test_a_signature_in_other_letters_is_refused_too(self, sample):
        with pytest.raises(NotFound):
            links.opened(sample.kit.settings, "/pay/1", "exp=1&sig=\u00e9")

    def test_a_link_of_ours_whose_time_is_over_says_so(self, sample):
        settings = sample.kit.settings
        query = links.signed(settings, "/pay/7", -1, amount=1).partition("?")[2]
        with pytest.raises(links.LinkExpired):
            links.opened(settings, "/pay/7", query)

    def test_a_signed_link_opens_and_an_altered_or_foreign_one_does_not(self, sample):
        settings = sample.kit.settings
        link = links.signed(settings, "/pay/7", 60, amount=49_000, agency="bkh")
        path, _, query = link.partition("?")
        assert links.opened(settings, path, query) == {"amount": "49000", "agency": "bkh"}
        assert links.opened(settings, path, query + "&utm_source=zalo")["amount"] == "49000"
        for bad_path, bad_query in [
            (path, query.replace("49000", "49001")),
            ("/pay/8", query),
            (path, ""),
            (path, query[:-1]),
        ]:
            with pytest.raises(NotFound):
                links.opened(settings, bad_path, bad_query)
