"""Finance's view of the books, by the API, for checking how a journey ended."""

from typing import Any, ClassVar

import httpx

from tests.journeys.conftest import WholeHouse
from tests.journeys.people import totp_code


class Books:
    """The ledger as the auditor sees it; signs in once, as a browser without scripts would."""

    _known: ClassVar[dict[str, httpx.Client]] = {}

    def __init__(self, house: WholeHouse) -> None:
        self.house = house
        if house.address in self._known:
            self.client = self._known[house.address]
            return
        self.client = house.client(follow_redirects=True)
        who = house.sign_in("/desk/audit")
        self._form("/account/password", identifier=who["email"], password=who["password"], next="/finance")
        self._form("/account/totp", code=totp_code(who["totp_secret"]))
        self._known[house.address] = self.client

    def _form(self, path: str, **fields: str) -> httpx.Response:
        page = self.client.get(path)
        token = page.text.split('name="_csrf_token" value="', 1)[1].split('"', 1)[0]
        answer = self.client.post(path, data={"_csrf_token": token, **fields})
        assert answer.status_code == 200, answer.text
        return answer

    def ask(self, path: str, **params: Any) -> Any:
        self.client.get("/account/renew", params={"next": "/finance"})
        bearer = {"Authorization": f"Bearer {self.client.cookies['nt_token']}"}
        answer = self.client.get(f"/api/ledger/v1{path}", params=params, headers=bearer)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def line(self, line: str) -> dict[str, int]:
        """Balances of an invoice line by semantic account; empty while the books do not know it."""
        self.client.get("/account/renew", params={"next": "/finance"})
        bearer = {"Authorization": f"Bearer {self.client.cookies['nt_token']}"}
        answer = self.client.get(f"/api/ledger/v1/lines/{line}", headers=bearer)
        if answer.status_code == 404:
            return {}
        assert answer.status_code == 200, answer.text
        return {leg["account"]: leg["amount_vnd"] for leg in answer.json()["balances"]}

    def trial_balance(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("/trial-balance")
        return found
