"""The command line: it reads well, refuses in one sentence and a hint, and looks after facts and backups."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from ops import contracts as export
from ops.cli import app
from ops.cli.screen import Sorry, complain, say, table
from ops.embedded import Stack, clone_database, doctor
from shared import clock
from shared.consume import INBOX_KEEPS, STREAM_KEEPS
from shared.contracts import SERVICES
from tests.conftest import Templates
from tests.shared.homes import a_folder

Run = Callable[..., Result]


def nguonthu(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would, with nothing of our own environment's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NGUONTHU_")}
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *words],
        env={**kept, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    with a_folder() as made:
        yield made


# How it reads


@pytest.mark.promise("F2")
def test_help_names_every_command_with_a_sentence() -> None:
    told = nguonthu("--help")
    assert told.returncode == 0
    for name in (
        *(
            "up",
            "down",
            "run",
            "status",
            "doctor",
            "init",
            "migrate",
            "seed",
            "simulate",
            "facts",
            "contracts",
        ),
        *("backup", "restore", "upgrade", "secrets", "turn-key"),
    ):
        line = next(line for line in told.stdout.splitlines() if line.strip("│ ").startswith(name + " "))
        assert len(line.strip("│ ").removeprefix(name).strip()) > 15, name


def test_every_command_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    missing = [
        words for words in _commands(typer.main.get_command(app), "nguonthu") if f"| `{words}` |" not in text
    ]
    assert missing == []


def _commands(command: Any, words: str) -> list[str]:
    if not hasattr(command, "list_commands"):
        return [words]
    context = typer.Context(command)
    names = command.list_commands(context)
    return [
        found for name in names for found in _commands(command.get_command(context, name), f"{words} {name}")
    ]


def test_help_imports_no_service() -> None:
    code = (
        "import sys, ops.cli; print([m for m in ('sqlalchemy', 'litestar', 'psycopg') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "billing"), "There is no service 'billing'."),
        (("facts", "tail", "billing"), "There is no service 'billing'."),
        (("simulate", "--from", "31/01/2024"), "'31/01/2024' is no day."),
        (("simulate", "--from", "2024-02-01", "--to", "2024-01-01"), "is before the first day"),
        (("simulate", "--to", "2999-01-01"), "has not come yet"),
        (("restore", "/nowhere", "--to", "/nowhere/else"), "is no backup"),
        (("secrets", "/proc/nothing"), "/proc/nothing: No such file or directory."),
        (("facts", "replay", "ledger", "--since", "2026-01-01"), "--since says from when"),
        (
            ("facts", "replay", "ledger", "--from", "ads", "--since", "2024-01-01"),
            "nobody knows any more which",
        ),
        (("facts", "replay", "ledger", "--from", "ads", "--since", "2999-01-01"), "has not come yet"),
        (("facts", "replay", "ledger", "--from", "ledger"), "ledger hears nothing of ledger."),
        (("run", "ads"), "NGUONTHU_TOKEN_PUBLIC_KEYS is not set"),
    ],
)
@pytest.mark.promise("F2")
def test_an_error_is_one_sentence_and_no_trace(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    told = nguonthu(*words, NGUONTHU_HOME=str(tmp_path / "home"))
    assert told.returncode == 1
    assert sentence in told.stderr
    assert "Traceback" not in told.stderr + told.stdout
    assert len(told.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    "words", [("facts", "tail", "-n", "-5"), ("simulate", "--scale", "-1"), ("run", "ads", "--port", "0")]
)
def test_a_number_that_cannot_be_meant_is_refused_before_anything_is_done(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    told = nguonthu(*words, NGUONTHU_HOME=str(tmp_path / "home"))
    assert (told.returncode, "Invalid value for" in told.stderr) == (2, True)
    assert not (tmp_path / "home").exists()


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    told = nguonthu("status", NGUONTHU_HOME=str(tmp_path), NGUONTHU_BASE_ULR="http://x")
    assert told.returncode == 1
    assert "NGUONTHU_BASE_ULR" in told.stderr
    assert "docs/settings.md" in told.stderr


def test_status_of_a_house_at_rest_says_so(tmp_path: Path) -> None:
    told = nguonthu("status", "--json", NGUONTHU_HOME=str(tmp_path / "home"))
    assert (told.returncode, json.loads(told.stdout)) == (1, {"address": "", "parts": [], "copies": []})
    assert not (tmp_path / "home").exists(), "looking must not make anything"
    told = nguonthu("status", NGUONTHU_HOME=str(tmp_path / "home"))
    assert f"There is no house in {tmp_path / 'home'}." in told.stdout
    assert "nguonthu up" in told.stdout
    assert nguonthu("down", NGUONTHU_HOME=str(tmp_path / "home")).stdout == "Nothing was running.\n"


def test_doctor_finds_secrets_that_others_can_read_and_says_the_mend(tmp_path: Path) -> None:
    Stack(tmp_path)
    assert nguonthu("doctor", NGUONTHU_HOME=str(tmp_path)).returncode == 0
    (tmp_path / "secrets").chmod(0o755)
    told = nguonthu("doctor", NGUONTHU_HOME=str(tmp_path))
    assert told.returncode == 1
    assert f"chmod 700 {tmp_path / 'secrets'}" in told.stdout


def test_contracts_are_written_once_and_then_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "FOLDER", tmp_path)
    monkeypatch.setattr(export.write_all, "__defaults__", (tmp_path,))
    refused = CliRunner().invoke(app, ["contracts", "--check"])
    assert isinstance(refused.exception, Sorry)
    assert "payments.payment.captured.v1.json" in str(refused.exception)
    assert not list(tmp_path.iterdir()), "a check writes nothing"
    assert "asyncapi.json" in CliRunner().invoke(app, ["contracts"]).stdout
    assert CliRunner().invoke(app, ["contracts", "--check"]).exit_code == 0
    (tmp_path / "payments.payment.captured.v1.json").write_text("{}")
    refused = CliRunner().invoke(app, ["contracts", "--check"])
    assert str(refused.exception) == "These contracts are not as published: payments.payment.captured.v1.json"


@pytest.mark.promise("F2")
def test_init_makes_an_empty_production_with_one_door_for_its_administrator(folder: Path) -> None:
    words = ("init", "--email", "an@example.vn", "--agency", "bkh", "--agency-name", "Báo Khánh Hòa")
    told = nguonthu(*words, NGUONTHU_HOME=str(folder / "home"))
    assert told.returncode == 0, told.stderr
    assert "http://localhost:8080/account/join?token=" in told.stdout
    assert "☐ NGUONTHU_PRODUCTION is not true" in told.stdout
    agencies = nguonthu("accounts", "agencies", "--json", NGUONTHU_HOME=str(folder / "home"))
    assert [agency["code"] for agency in json.loads(agencies.stdout)] == ["bkh"]
    invited = nguonthu("accounts", "invite-admin", "hai@example.vn", NGUONTHU_HOME=str(folder / "home"))
    assert "/account/join?token=" in invited.stdout, invited.stderr
    nameless = nguonthu("accounts", "register-agency", "xyz", " ", NGUONTHU_HOME=str(folder / "home"))
    assert (nameless.returncode, "An agency has a name." in nameless.stderr) == (1, True)
    strange = nguonthu("ledger", "trial-balance", "--agency", "xyz", NGUONTHU_HOME=str(folder / "home"))
    assert (strange.returncode, "hold nothing of an agency xyz" in strange.stderr) == (1, True)
    (folder / "home" / "demo.json").write_text("{}")
    told = nguonthu(*words, NGUONTHU_HOME=str(folder / "home"))
    assert (told.returncode, "holds a demo" in told.stderr) == (1, True)


# Facts


@pytest.fixture
def ledger(stack: Stack, templates: Templates) -> Run:
    """The command line over databases of our own, in each of which accounts has said and ledger has parked a fact."""
    for service in SERVICES:
        clone_database(stack.admin_url(), templates.name(service), f"cli_{service}")
    now = clock.now()
    with psycopg.connect(stack.admin_url("cli_accounts"), autocommit=True) as db:
        for n, day in enumerate((40, 1)):
            body = json.dumps({"n": n}).encode()
            db.execute(
                "INSERT INTO fact_log (seq, id, subject, body, occurred_at) VALUES (%s, %s, %s, %s, %s)",
                (n + 1, clock.new_id(), "accounts.agency.registered.v1", body, now - timedelta(days=day)),
            )
    with psycopg.connect(stack.admin_url("cli_ledger"), autocommit=True) as db:
        db.execute(
            "INSERT INTO retry (fact_id, subject, body, state, attempts, error, since, next_at) "
            "VALUES (%s, 'ads.delivery.recorded.v1', '{}', 'parked', 4, 'ValueError: no such line', %s, %s)",
            (clock.new_id(), now, now),
        )
    env = {**stack.env(), "NGUONTHU_DATABASE_PREFIX": "cli_", "COLUMNS": "200"}
    return lambda *words: CliRunner().invoke(app, words, env=env)


@pytest.mark.promise("F3")
def test_what_nats_never_takes_and_what_waits_for_an_upgrade_is_told_with_its_mend(
    ledger: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    with psycopg.connect(stack.admin_url("cli_ads"), autocommit=True) as db:
        db.execute(
            "INSERT INTO outbox (id, subject, body, occurred_at, aside) "
            "VALUES (%s, 'ads.order.signed.v1', '{}', %s, 'message size exceeds maximum allowed')",
            (clock.new_id(), now),
        )
        db.execute(
            "INSERT INTO retry (fact_id, subject, body, state, waits_for, since, next_at) "
            "VALUES (%s, 'payments.payment.captured.v2', '{}', 'waiting', 'version', %s, %s)",
            (clock.new_id(), now, now),
        )
        db.execute(
            "INSERT INTO retry (fact_id, subject, body, state, waits_for, since, next_at) "
            "VALUES (%s, 'ledger.month.closed.v1', '{}', 'waiting', 'order x', %s, %s)",
            (clock.new_id(), now - timedelta(minutes=61), now),
        )
    addresses = {service: stack.admin_url(f"cli_{service}") for service in SERVICES}
    monkeypatch.setattr(doctor.parts, "postgres_url", lambda _home, _port, name: addresses[name])
    found = {finding.what: finding.mend for finding in doctor._held(Path(), 0)}
    assert found["ads keeps 1 facts of a version newer than its own"].startswith("Upgrade ads")
    assert "nguonthu facts replay ads" in found["ads has set 1 facts aside that NATS does not take"]
    over = found["ads has let 1 facts ledger.month.closed.v1 wait for over an hour, such as for order x"]
    assert "nguonthu facts drop ads --subject ledger.month.closed.v1 --reason" in over
    assert "nguonthu facts drop ads" in found["ads keeps 1 facts of a version newer than its own"]
    [aside] = json.loads(ledger("facts", "parked", "ads", "--json").stdout)
    assert (aside["state"], aside["error"]) == ("aside", "message size exceeds maximum allowed")
    assert ledger("facts", "replay", "ads").stdout.startswith("1 facts")
    assert json.loads(ledger("facts", "parked", "ads", "--json").stdout) == []


def test_no_text_of_a_fact_drives_the_terminal_of_who_looks_at_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x9b2J\r\x00\u202eđồng\ud800 [red]a[/red]"
    table(("why",), [(hostile,)])
    say(hostile)
    complain(ValueError(hostile), hostile)
    told = capsys.readouterr()
    shown = r"\x1b]0;title\x07\x1b[2J\x9b2J\r\x00\u202eđồng\ud800 [red]a[/red]"
    said, complained = (text.replace("\n", "") for text in told)
    assert (said.count(shown), complained.count(shown)) == (2, 2)
    table(("sum",), [("1.000\xa0₫",)])
    assert "1.000\xa0₫" in capsys.readouterr().out, "what is only a space stays one"


@pytest.mark.promise("F2")
def test_parked_facts_are_shown_with_their_reason_and_handled_again(ledger: Run) -> None:
    told = ledger("facts", "parked")
    assert "ValueError: no" in told.stdout
    parked = json.loads(ledger("facts", "parked", "ledger", "--json").stdout)
    assert [(fact["subject"], fact["attempts"]) for fact in parked] == [("ads.delivery.recorded.v1", 4)]
    assert ledger("facts", "replay", "ledger", "--id", str(clock.new_id())).exit_code == 1
    assert ledger("facts", "replay", "ledger", "--id", parked[0]["id"]).stdout.startswith("1 facts")
    assert json.loads(ledger("facts", "parked", "--json").stdout) == []
    waiting = json.loads(ledger("facts", "parked", "--all", "--json").stdout)
    assert [(fact["state"], fact["attempts"]) for fact in waiting] == [("retry", 0)]


@pytest.mark.promise("F2", "F3")
def test_what_can_never_be_handled_is_dropped_with_a_reason_and_stays_to_be_seen_and_brought_back(
    ledger: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = "ads.delivery.recorded.v1"
    for words in ([], ["--id", "x", "--subject", subject], ["--subject", subject, "--reason", " "]):
        told = ledger("facts", "drop", "ledger", "--reason", "gone", *words)
        assert told.exit_code == 1, words
    assert ledger("facts", "drop", "ledger", "--subject", subject).exit_code != 0, "it wants a reason"
    assert ledger("facts", "drop", "ledger", "--reason", "gone", "--subject", "ads.x.y.v1").exit_code == 1
    told = ledger("facts", "drop", "ledger", "--subject", subject, "--reason", "its line was\nnever sold")
    assert (told.exit_code, "1 facts are dropped" in told.stdout) == (0, True)
    assert json.loads(ledger("facts", "parked", "--json").stdout) == []
    [kept] = json.loads(ledger("facts", "parked", "--all", "--json").stdout)
    assert (kept["state"], kept["body"], kept["error"].splitlines()[0]) == (
        "dropped",
        "{}",
        "ValueError: no such line",
    )
    assert re.fullmatch(r"dropped on .* UTC by .+: its line was never sold", kept["error"].splitlines()[1])
    assert "never sold" in ledger("facts", "parked", "--all").stdout
    assert ledger("facts", "replay", "ledger").stdout.startswith("0 facts"), "not with the others"
    assert ledger("facts", "drop", "ledger", "--subject", subject, "--reason", "again").exit_code == 1
    addresses = {service: stack.admin_url(f"cli_{service}") for service in SERVICES}
    monkeypatch.setattr(doctor.parts, "postgres_url", lambda _home, _port, name: addresses[name])
    [found] = list(doctor._held(Path(), 0))
    assert (found.what, found.well) == (
        "ledger keeps 1 facts that were dropped, and handles them no more",
        True,
    )
    assert ledger("facts", "replay", "ledger", "--id", kept["id"]).stdout.startswith("1 facts")


def test_tail_shows_the_newest_facts_last(ledger: Run) -> None:
    lines = ledger("facts", "tail", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [{"n": 0}, {"n": 1}]
    assert [
        json.loads(line)
        for line in ledger("facts", "tail", "accounts", "-n", "1", "--json").stdout.splitlines()
    ] == [{"n": 1}]


def test_a_publishers_log_is_handed_to_a_consumer_once(ledger: Run) -> None:
    day = f"{clock.now() - timedelta(days=10):%Y-%m-%d}"
    recent = ledger("facts", "replay", "ledger", "--from", "accounts", "--since", day)
    assert recent.stdout.startswith("1 facts")
    assert ledger("facts", "replay", "ledger", "--from", "accounts").stdout.startswith("1 facts")
    assert ledger("facts", "replay", "ledger", "--from", "accounts").stdout.startswith("0 facts")


@pytest.mark.promise("T6")
def test_what_the_inbox_has_forgotten_is_never_handed_on_again(ledger: Run, stack: Stack) -> None:
    with psycopg.connect(stack.admin_url("cli_accounts"), autocommit=True) as db:
        old = clock.now() - timedelta(days=91)
        db.execute("UPDATE fact_log SET occurred_at = %s", (old,))
    assert INBOX_KEEPS > STREAM_KEEPS, "what a stream may still bring is known"
    assert ledger("facts", "replay", "ledger", "--from", "accounts").stdout.startswith("0 facts")
    refused = ledger("facts", "replay", "ledger", "--from", "accounts", "--since", f"{old:%Y-%m-%d}")
    assert "would be done twice" in refused.exception.hint
    assert json.loads(ledger("facts", "parked", "ledger", "--all", "--json").stdout)[0]["state"] == "parked"
