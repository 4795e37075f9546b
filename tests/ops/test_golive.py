"""A house that others would reach refuses to start while anything about it is unsafe, and says all of it at once."""

import re
from pathlib import Path

import httpx
import msgspec
import pytest

from ops.cli.care import _checklist
from ops.embedded.doctor import examine
from ops.embedded.supervisor import Supervisor
from ops.golive import ALL, CHECKS, HOUSE, load, refusals
from ops.keys import of_service
from services.accounts.actions import messages
from services.payments.rules.vnpay import SIMULATED
from shared.contracts import SERVICES
from shared.keys import OPERATOR
from shared.settings import PREFIX, BadSetting, Settings
from tests.conftest import Flats

SAFE = {
    "production": True,
    "base_url": "https://news.example",
    "creatives_url": "https://ads.example",
    "vnpay_url": "https://pay.vnpay.example",
    "vnpay_terminals": "bkh:BKH00001:" + "S" * 32,
    "smtp_url": "smtp://house:word@mail.example:465",
    "mail_from": "Báo <thu@news.example>",
    "token_public_keys": "{}",
    "token_private_key": "{}",
    "head_public_keys": "{}",
    "head_private_key": "{}",
    "listen": "0.0.0.0",
    "operator_secret": "o" * 64,
    "backup_to": "s3://copies",
    "backup_recipient": "age1",
}
UNSAFE: dict[str, list[object]] = {
    "production": [False],
    "trial": [True],
    "base_url": [
        "http://news.example",
        "https://localhost:8443",
        "https://localhost.",
        "https://0.0.0.0",
        "https://",
    ],
    "creatives_url": [
        "https://news.example:8443",
        "https://NEWS.example.",
        "http://ads.example",
        "https://creatives.localhost",
    ],
    "vnpay_url": ["", "http://pay.vnpay.example", "https://sandbox.vnpayment.vn", "https://localhost"],
    "vnpay_terminals": ["", SIMULATED, "bkh:BKH00001:"],
    "smtp_url": [""],
    "mail_from": ["Nguồn Thu <no-reply@localhost>"],
    "backup_recipient": [""],
    "secret": [Settings().secret, f"{Settings().secret} ", "s" * 31],
    "csrf_secret": [Settings().csrf_secret, Settings().csrf_secret.upper(), "s" * 31],
    "operator_secret": ["s" * 31],
    "pay_link_keys": ["", "ads:", "ads:" + "s" * 64 + ",events:short"],
    "postgres_password": ["", "s" * 31],
    "nats_password": ["", "s" * 31],
    "redis_password": ["", "s" * 31],
    "token_public_keys": [""],
    "token_private_key": [""],
    "head_public_keys": [""],
    "head_private_key": [""],
}


def safe(who: str, **changes: object) -> Settings:
    held = of_service("o" * 64, who) if who in SERVICES else {}
    return Settings(**{**SAFE, **held, **changes})  # type: ignore[arg-type]


def variables(settings: Settings, who: str) -> set[str]:
    return {text.split()[0] for text in refusals(settings, who)}


@pytest.mark.parametrize("who", ALL)
@pytest.mark.promise("T11")
def test_who_has_all_that_is_asked_for_may_go_live(who: str) -> None:
    assert refusals(safe(who), who) == []


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in UNSAFE.items() for value in values]
)
@pytest.mark.promise("T11")
def test_each_unsafe_setting_is_refused_by_name_and_by_whom_it_concerns(field: str, value: object) -> None:
    concerned = {who for check in CHECKS for who in check.who if check.variable == field.upper()}
    assert concerned
    for who in ALL:
        found = variables(safe(who, **{field: value}), who)
        if field == "production":
            # Without the word for it, addresses that others reach are enough to be asked for it.
            assert found == {PREFIX + "PRODUCTION"}
        else:
            assert found == ({PREFIX + field.upper()} if who in concerned else set())


def test_every_condition_is_tried_here() -> None:
    assert {check.variable.lower() for check in CHECKS} == set(UNSAFE)


@pytest.mark.parametrize(
    "change",
    [
        {"production": True},
        {"base_url": "http://192.0.2.7"},
        {"base_url": "https://news.example"},
        {"creatives_url": "https://ads.example"},
        {"listen": "0.0.0.0"},
        {"listen": "192.0.2.7"},
        {"trial": True, "listen": "0.0.0.0", "base_url": "https://news.example"},
    ],
)
@pytest.mark.promise("T11")
def test_production_or_any_address_beyond_loopback_asks_for_everything_at_once(
    change: dict[str, object],
) -> None:
    env = {PREFIX + name.upper(): str(value) for name, value in change.items()}
    with pytest.raises(BadSetting) as refused:
        load(env, "payments")
    for variable in (
        "VNPAY_URL",
        "VNPAY_TERMINALS",
        "SECRET",
        "POSTGRES_PASSWORD",
        "NATS_PASSWORD",
        "REDIS_PASSWORD",
    ):
        assert PREFIX + variable in str(refused.value)
    with pytest.raises(BadSetting, match="SMTP_URL"):
        load(env, HOUSE)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"listen": "127.0.0.5"},
        {"trial": True, "listen": "0.0.0.0"},
        {"base_url": "http://nha.localhost:9000"},
    ],
)
def test_a_house_of_one_machine_alone_may_stay_a_demo(change: dict[str, object]) -> None:
    env = {PREFIX + name.upper(): str(value) for name, value in change.items()}
    assert not load(env, "payments").exposed


@pytest.mark.promise("T11")
@pytest.mark.parametrize(
    "address", ["https://127.0.0.1.example.vn", "http://127.bao.example", "http://1270.1"]
)
def test_a_name_that_only_begins_like_this_machine_is_open_to_others(address: str) -> None:
    assert Settings(base_url=address).exposed
    assert not Settings(base_url="http://127.9.0.1:8080", creatives_url="http://[::1]:8080").exposed


@pytest.mark.promise("T11")
async def test_no_inbox_and_no_simulator_answer_where_others_reach_the_house(flats: Flats) -> None:
    flat = await flats.start("accounts")
    async with flat.tx() as tx:
        to = {"agency": "bkh", "recipient": None, "address": "lan@baokh.example", "lang": "vi"}
        await messages.queue(tx, **to, template="code", params={"code": "123456"})
    await flat.tick()
    inbox = await flat.client.get("/dev/mail")
    [letter] = re.findall(r"/dev/mail/[0-9a-f-]{36}", inbox.text)
    assert (await flat.client.get(letter)).status_code == httpx.codes.OK
    for reached in ({"base_url": "https://news.example"}, {"smtp_url": "smtp://mail.example"}):
        flat.app.state.settings = msgspec.structs.replace(flat.kit.settings, **reached)
        for path in ("/dev/mail", letter):
            assert (await flat.client.get(path)).status_code == httpx.codes.NOT_FOUND
    with pytest.raises(BadSetting, match="NGUONTHU_VNPAY_URL"):
        await flats.start("payments", base_url="https://news.example")


def test_an_embedded_house_that_others_would_reach_does_not_begin_to_start(tmp_path: Path) -> None:
    env = {"NGUONTHU_BASE_URL": "https://news.example"}
    with pytest.raises(BadSetting, match="NGUONTHU_PRODUCTION"):
        Supervisor(tmp_path / "home", env, print, None, with_demo=True)  # type: ignore[arg-type]
    assert not (tmp_path / "home").exists()


def test_doctor_and_the_checklist_of_init_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NGUONTHU_PRODUCTION", "true")
    monkeypatch.setenv("NGUONTHU_VNPAY_TERMINALS", SIMULATED)
    [told] = [finding.what for finding in examine(tmp_path) if "settings" in finding.what]
    _checklist(Settings(production=True, vnpay_terminals=SIMULATED))
    listed = capsys.readouterr().out
    for text in refusals(Settings(production=True, vnpay_terminals=SIMULATED), HOUSE):
        assert text in told
        assert f"☐ {text}" in listed
    assert "✓ NGUONTHU_PRODUCTION\n" in listed
    _checklist(safe(HOUSE))
    assert "☐ NGUONTHU_VNPAY_TERMINALS" not in capsys.readouterr().out


def test_the_operator_is_asked_for_nothing_that_a_service_holds() -> None:
    assert {check.variable for check in CHECKS if OPERATOR in check.who} == {
        "PRODUCTION",
        "TRIAL",
        "BASE_URL",
        "CREATIVES_URL",
        "OPERATOR_SECRET",
    }
