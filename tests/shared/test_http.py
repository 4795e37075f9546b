"""How every service answers: strict bodies, problems, limits, tokens."""

import asyncio
import base64
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa

from shared import agencies, auth, clock, revocations
from shared.calendar import local_day
from shared.contracts.accounts import AgencySucceeded, KeyRevoked


class TestBodies:
    @pytest.mark.parametrize(
        ("content", "kind", "says"),
        [
            (b'{"budget_vnd": "5e3"}', "application/json", "$.budget_vnd"),
            (b'{"budget_vnd": 5.5}', "application/json", "$.budget_vnd"),
            (b'{"budget_vnd": true}', "application/json", "$.budget_vnd"),
            (b'{"budget_vnd": 1e30}', "application/json", "$.budget_vnd"),
            (b'{"budget_vnd": 5, "x": 1}', "application/json", "unknown field"),
            (b'{"budget_vnd": 5, "name": ""}', "application/json", "$.name"),
            (b'{"budget_vnd": 5, "name": "\xff"}', "application/json", "cannot be read"),
            (b'{"budget_vnd": 5, "name": "a\\u0000"}', "application/json", "NUL"),
            (b'{"budget_vnd": 5, "name": "\\\\\\u0000"}', "application/json", "NUL"),
            (b'{"budget_vnd": 5, "name": "\\ud800"}', "application/json", "cannot be read"),
            (b"{", "application/json", "cannot be read"),
            (b"[" * 100_000, "application/json", "nested deeper"),
            (b"", "application/json", ""),
        ],
        ids=[
            "text for a number",
            "fraction",
            "true for a number",
            "huge",
            "unknown field",
            "empty name",
            "bad utf-8",
            "NUL",
            "NUL behind a backslash",
            "half a surrogate",
            "cut off",
            "nested",
            "empty",
        ],
    )
    @pytest.mark.promise("F5")
    async def test_a_bad_body_is_refused_with_its_place_and_changes_nothing(self, door, content, kind, says):
        answer = await door.client.post(
            "/api/ads/v1/bookings", content=content, headers=door.headers(**{"Content-Type": kind})
        )
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert says in answer.json()["detail"]
        assert await door.said() == 0

    async def test_a_text_about_the_escape_of_nul_is_no_nul(self, door):
        answer = await door.book({"budget_vnd": 5, "name": "\\u0000"})
        assert answer.status_code == 201

    async def test_a_query_or_path_with_nul_is_refused(self, door):
        for path in ("/api/ads/v1/things?agency=a%00", "/api/ads/v1/broken/a%00"):
            answer = await door.client.get(path, headers=door.headers())
            assert (answer.status_code, answer.json()["code"]) == (400, "bad-input"), path

    async def test_an_unknown_query_parameter_is_refused_by_its_name_with_those_that_there_are(self, door):
        answer = await door.client.get("/api/ads/v1/listed?form=2026-01-01", headers=door.headers())
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown-parameter")
        assert answer.json()["detail"] == (
            "There is no query parameter `form` here. Known: `fromDay`, `limit`."
        )
        known = await door.client.get("/api/ads/v1/listed?fromDay=2026-01-01&limit=3")
        assert known.json() == ["2026-01-01", 3]
        none = await door.client.get("/api/ads/v1/things?x=", headers=door.headers())
        assert none.json()["detail"] == "There is no query parameter `x` here. Known: none."

    async def test_a_query_parameter_given_twice_is_refused_since_only_one_could_count(self, door):
        answer = await door.client.get("/api/ads/v1/listed?limit=1&fromDay=2026-01-01&limit=2")
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-input")
        assert "`limit` once" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "host", ["localhost:8080.evil.example", "localhost:99999999", "[::1", "a b:x", "/"]
    )
    @pytest.mark.parametrize("path", ["/api/ads/v1/listed?fromDay=x", "/nowhere", "/health/live"])
    async def test_a_host_of_which_no_address_can_be_made_is_a_bad_request_and_no_fault(
        self, door, host, path
    ):
        answer = await door.client.get(path, headers={"Host": host})
        assert answer.status_code == 400
        assert "Host" in answer.text or "text/html" in answer.headers["content-type"]

    async def test_a_page_ignores_a_parameter_that_it_does_not_know(self, door):
        answer = await door.client.get("/desk/ads/page?fbclid=1", headers=door.headers())
        assert answer.status_code == 200

    async def test_a_wrong_method_hears_which_are_right_and_is_counted(self, door):
        answer = await door.client.put("/api/ads/v1/things", headers=door.headers())
        assert (answer.status_code, answer.json()["code"]) == (405, "wrong-method")
        assert "GET" in answer.headers["allow"]
        assert answer.headers["x-request-id"]

    async def test_brackets_inside_strings_are_not_nesting(self, door):
        answer = await door.book({"budget_vnd": 5, "name": "[" * 60 + '"'})
        assert answer.status_code == 201

    async def test_a_refusal_is_a_problem_with_its_code_and_leaves_no_fact(self, door):
        answer = await door.book({"budget_vnd": 13})
        assert answer.status_code == 409
        body = answer.json()
        assert (body["code"], body["status"]) == ("slot-taken", 409)
        assert body["detail"] == "The slot of 13 đồng is taken."
        assert await door.said() == 0

    async def test_a_fault_is_a_500_that_tells_no_secret_and_rolls_back(self, door):
        answer = await door.client.get("/api/ads/v1/broken/commit")
        assert answer.status_code == 500
        assert answer.json()["code"] == "fault"
        assert "secret" not in answer.text
        assert await door.sample_.rows("SELECT * FROM thing") == []


class TestCallers:
    async def test_nobody_is_asked_to_sign_in(self, door):
        answer = await door.client.get("/api/ads/v1/things")
        assert (answer.status_code, answer.json()["code"]) == (401, "not-signed-in")

    async def test_a_key_without_the_scope_is_refused(self, door):
        headers = {"Authorization": f"Bearer {door.key(scopes=['ads:read'])}"}
        answer = await door.client.get("/api/ads/v1/things", headers=headers)
        assert answer.status_code == 403

    @pytest.mark.parametrize("change", ["expired", "forged", "altered", "page token as key"])
    async def test_a_bad_key_is_refused(self, door, stack, change):
        key = door.key()
        if change == "expired":
            key = door.key(expires_at=clock.now() - timedelta(seconds=1))
        elif change == "forged":
            key = key[:-8] + ("A" * 8 if not key.endswith("A" * 8) else "B" * 8)
        elif change == "altered":
            head, payload, sign = key.split(".")
            key = f"{head}.{payload[:-4]}AAAA.{sign}"
        else:
            key = "nt_" + auth.Signer(stack.settings("accounts")).page_token(
                auth.Principal(kind="person", id=clock.new_id(), roles={"bkh": ["ad_ops"]})
            )
        answer = await door.client.get("/api/ads/v1/things", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "head", [{"alg": "Ed25519", "crit": 5}, {"alg": "none"}, {"alg": []}, [], 5, {"alg": "HS256"}]
    )
    async def test_a_forged_head_of_a_token_breaks_nothing(self, door, head):
        forged = base64.urlsafe_b64encode(msgspec.json.encode(head)).decode().rstrip("=")
        for key in (f"nt_{forged}.e30.AAAA", f"nt_{forged}.e30.", forged):
            answer = await door.client.get("/api/ads/v1/things", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 401, key

    async def test_a_revoked_key_is_refused_within_seconds(self, door):
        key_id = clock.new_id()
        headers = {"Authorization": f"Bearer {door.key(id=key_id)}"}
        assert (await door.client.get("/api/ads/v1/things", headers=headers)).status_code == 200
        async with door.sample_.kit.database.worker_tx() as tx:
            await revocations.keep_key(KeyRevoked(agency="bkh", key=key_id), tx)
        for _ in range(50):
            answer = await door.client.get("/api/ads/v1/things", headers=headers)
            if answer.status_code == 401:
                break
            await asyncio.sleep(0.1)
        assert answer.status_code == 401

    async def test_a_caller_sees_the_rows_of_its_agency_and_what_that_has_absorbed_by_today(self, door):
        today = local_day(clock.now())
        async with door.sample_.kit.database.worker_tx() as tx:
            for agency in ("bkh", "ktv", "tcnt"):
                await tx.execute(
                    sa.text("INSERT INTO thing (id, agency) VALUES (:id, :a)"),
                    {"id": clock.new_id(), "a": agency},
                )
            await agencies.keep_succession(AgencySucceeded(agency="ktv", successor="bkh", on=today), tx)
            await agencies.keep_succession(
                AgencySucceeded(agency="tcnt", successor="bkh", on=today + timedelta(days=1)), tx
            )
        answer = await door.client.get("/api/ads/v1/things", headers=door.headers())
        assert sorted(answer.json()) == ["bkh", "ktv"]

    async def test_a_cookie_does_not_open_the_api_but_opens_a_page(self, door, stack):
        token = auth.Signer(stack.settings("accounts")).page_token(
            auth.Principal(kind="person", id=clock.new_id(), roles={"bkh": ["ad_ops"]})
        )
        door.client.cookies.set("nt_token", token)
        assert (await door.client.get("/api/ads/v1/things")).status_code == 401
        assert (await door.client.get("/desk/ads/page")).text == "staff"

    async def test_a_page_without_sign_in_sends_people_to_renew_and_keeps_their_form(self, door):
        page = {"Accept": "text/html"}
        answer = await door.client.get("/desk/ads/page?x=1", headers=page)
        assert answer.status_code == 307
        assert answer.headers["location"] == "/account/renew?next=%2Fdesk%2Fads%2Fpage%3Fx%3D1"

    async def test_a_form_without_its_csrf_token_is_refused(self, door, stack):
        token = auth.Signer(stack.settings("accounts")).page_token(
            auth.Principal(kind="person", id=clock.new_id(), roles={"bkh": ["ad_ops"]})
        )
        door.client.cookies.set("nt_token", token)
        await door.client.get("/desk/ads/page")
        assert (await door.client.post("/desk/ads/page", data={"a": "b"})).status_code == 403
        csrf = {"x-csrftoken": door.client.cookies["nt_csrf"]}
        assert (await door.client.post("/desk/ads/page", data={"a": "b"}, headers=csrf)).status_code == 201


class TestLimits:
    @pytest.mark.promise("F5")
    async def test_more_than_the_burst_is_told_when_to_come_back(self, door):
        headers = door.headers()
        answers = [await door.client.get("/api/ads/v1/limited", headers=headers) for _ in range(8)]
        refused = [a for a in answers if a.status_code == 429]
        assert [a.status_code for a in answers[:5]] == [200] * 5
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        other = await door.client.get("/api/ads/v1/limited", headers=door.headers())
        assert other.status_code == 200, "another key has a limit of its own"

    async def test_a_customer_of_ipv6_is_one_caller_however_many_addresses_they_ask_from(self, door):
        asked = [{"X-Forwarded-For": f"2405:4800:1:{n:x}::{n}"} for n in range(8)]
        answers = [await door.client.get("/api/ads/v1/limited", headers=headers) for headers in asked]
        assert 429 in {a.status_code for a in answers}
        other = await door.client.get("/api/ads/v1/limited", headers={"X-Forwarded-For": "2405:4800:2::1"})
        assert other.status_code == 200

    async def test_the_limit_holds_while_redis_is_away(self, door):
        await door.app.state.kit.redis.aclose()
        door.app.state.kit.redis.connection_pool.connection_kwargs["port"] = 1
        headers = door.headers()
        answers = [await door.client.get("/api/ads/v1/limited", headers=headers) for _ in range(8)]
        assert {a.status_code for a in answers} == {200, 429}


class TestDocs:
    @pytest.mark.promise("F5")
    async def test_every_service_publishes_openapi_asyncapi_metrics_and_a_local_api_page(self, door):
        schema = (await door.client.get("/api/ads/v1/openapi.json")).json()
        assert "/api/ads/v1/bookings" in schema["paths"]
        facts = (await door.client.get("/api/ads/v1/asyncapi.json")).json()
        assert "send-ads-invoice-opened-v1" in facts["operations"]
        metrics = (await door.client.get("/metrics")).text
        assert "nguonthu_outbox_facts 0.0" in metrics
        for state in ("retry", "waiting", "version", "parked", "aside", "dropped"):
            assert f'nguonthu_held_facts{{state="{state}"}} 0.0' in metrics
        page = (await door.client.get("/api/ads/v1/docs")).text
        assert "http" not in page
        for asset in ("swagger/swagger-ui.css", "swagger/swagger-ui-bundle.js", "api-page.js"):
            assert f"/static/{asset}" in page
            assert (await door.client.get(f"/static/{asset}")).status_code == 200

    @pytest.mark.promise("F5")
    async def test_live_and_ready_tell_apart_and_say_what_is_missing(self, door):
        assert (await door.client.get("/health/live")).status_code == 200
        ready = await door.client.get("/health/ready")
        assert ready.status_code == 200, "without background work only the database counts"

    async def test_an_answer_names_its_request(self, door):
        answer = await door.client.get("/health/live", headers={"X-Request-Id": "abc"})
        assert answer.headers["x-request-id"] == "abc"
