"""The pages for operators: the commands that stand there do what the pages say, as they are written."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import psycopg
import pytest

from ops.embedded import Stack, parts
from ops.embedded.keys import Keys
from shared import auth, clock
from shared.errors import NotSignedIn
from shared.settings import Settings
from tests.ops.test_cli import nguonthu
from tests.ops.test_deploy import COMPOSE, PARTS
from tests.shared.homes import ROOT, a_folder

pytestmark = pytest.mark.xdist_group("backup")

PAGES = ROOT / "docs" / "operations"
RECIPE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def recipes(page: str, section: str = "") -> list[str]:
    """The commands of a page, or of one of its sections, block by block."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    found = RECIPE.findall(text.partition(f"\n## {section}")[2].partition("\n## ")[0] if section else text)
    assert found, f"{page}.md: {section}"
    return found


def follow(recipe: str, folder: Path, **env: str) -> str:
    """Do what a page says, line by line, in a folder; returns what was said."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NGUONTHU_", "PG"))}
    paths = (str(Path(sys.executable).parent), str(parts.postgres_bin()), os.environ["PATH"])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", recipe],
        env={**kept, "COLUMNS": "200", "PATH": ":".join(paths), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, recipe + done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    with a_folder() as made:
        yield made


@pytest.mark.stack
@pytest.mark.promise("F2")
@pytest.mark.promise("T5")
@pytest.mark.promise("T6")
def test_the_house_is_upgraded_copied_restored_and_led_back_as_the_pages_say(folder: Path) -> None:
    env = {"NGUONTHU_HOME": str(folder / "home")}
    made = nguonthu(
        "init", "--email", "an@example.vn", "--agency", "bkh", "--agency-name", "Báo Khánh Hòa", **env
    )
    assert made.returncode == 0, made.stderr
    forward, back = recipes("versions", "The embedded house")
    key, copy, restore, drill = recipes("restore", "The embedded house")
    try:
        assert "Upgraded." in follow(forward, folder, **env)
        public = follow(key, folder).splitlines()[0].removeprefix("NGUONTHU_BACKUP_RECIPIENT=")
        places = {"RECIPIENT": public, "ELSEWHERE": str(folder / "elsewhere")}
        follow(copy, folder, **env, **places)
        assert "Sound: " in follow(restore, folder, **env, **places)
        assert "came back whole" in follow(drill, folder, **env, **places)
        follow(back, folder, **env)
    finally:
        for home in ("home", "back"):
            nguonthu("down", NGUONTHU_HOME=str(folder / home))
    mend, migrate = recipes("nats")
    follow(mend, folder, **env)
    follow(migrate, folder, **env)
    refused = nguonthu("migrate", NGUONTHU_NATS_REPLICAS="3", **env)
    assert (refused.returncode, "STREAM" in refused.stderr) == (1, True), refused.stdout + refused.stderr
    agencies = nguonthu("accounts", "agencies", "--json", NGUONTHU_HOME=str(folder / "back"))
    assert '"code": "bkh"' in agencies.stdout


@pytest.mark.promise("T6")
def test_postgres_comes_back_to_any_instant_in_all_databases_as_the_page_says(folder: Path) -> None:
    keep, copy, back = recipes("restore", "The deployed house")
    env = {
        "ARCHIVE": str(folder / "archive"),
        "BASE": str(folder / "base"),
        "DATA": str(folder / "new" / "postgres"),
    }
    for place in ("archive", "new"):
        (folder / place).mkdir()
    stack = Stack(folder / "home")
    stack.start(["postgres"])
    server = {"PGHOST": "127.0.0.1", "PGUSER": "postgres", "PGPASSWORD": stack.keys.text("postgres_admin")}
    server["PGPORT"] = str(stack.ports.of("postgres"))
    parts._give(folder / "archive", parts.way_down_from_root(stack.home, parts.postgres_bin() / "postgres"))
    try:
        follow(keep, folder, **env, **server)
        stack.stop()
        stack.start(["postgres"])
        follow(copy, folder, **env, **server)
        for service in ("payments", "ledger"):
            write(stack, service, "CREATE TABLE note AS SELECT 'before' AS what")
        target = clock.now() + timedelta(milliseconds=1)
        for service in ("payments", "ledger"):
            write(stack, service, "INSERT INTO note VALUES ('after')")
        write(stack, "postgres", "SELECT pg_switch_wal()")
    finally:
        stack.stop()
    follow(back, folder, TARGET=target.isoformat(), **env)
    shutil.copytree(folder / "home" / "secrets", folder / "new" / "secrets")
    restored = Stack(folder / "new")
    restored.start(["postgres"])
    try:
        for service in ("payments", "ledger"):
            with closing(psycopg.connect(restored.admin_url(service))) as db:
                assert db.execute("SELECT what FROM note").fetchall() == [("before",)]
    finally:
        restored.stop()


def write(stack: Stack, database: str, statement: str) -> None:
    with psycopg.connect(stack.admin_url(database), autocommit=True) as db:
        db.execute(statement)


@pytest.mark.promise("T11")
def test_a_turned_key_signs_and_the_one_before_opens_until_it_is_called_leaked(tmp_path: Path) -> None:
    Keys(tmp_path)
    turn, leaked = recipes("keys", "The key that signs")

    def parts_of_accounts() -> tuple[auth.Signer, auth.Verifier]:
        private, public = (
            (tmp_path / f"token_{half}").read_text() for half in ("private_key", "public_keys")
        )
        settings = msgspec.structs.replace(Settings(), token_private_key=private, token_public_keys=public)
        return auth.Signer(settings), auth.Verifier(settings)

    somebody = auth.Principal(kind="person", id=uuid4())
    before = parts_of_accounts()[0].page_token(somebody)
    follow(turn, tmp_path, SECRETS=str(tmp_path))
    signer, verifier = parts_of_accounts()
    after = signer.page_token(somebody)
    assert verifier.principal(before).id == verifier.principal(after).id == somebody.id
    assert (tmp_path / "token_private_key").stat().st_mode & 0o077 == 0
    follow(leaked, tmp_path, SECRETS=str(tmp_path))
    signer, verifier = parts_of_accounts()
    assert verifier.principal(signer.page_token(somebody)).id == somebody.id
    for token in (before, after):
        with pytest.raises(NotSignedIn):
            verifier.principal(token)
    nowhere = nguonthu("turn-key", str(tmp_path / "nowhere"))
    assert (nowhere.returncode, "holds no token_private_key" in nowhere.stderr) == (1, True)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.promise("T11", "L2")
def test_a_turned_key_of_heads_signs_and_those_of_before_prove_what_they_signed_for_good(
    tmp_path: Path,
) -> None:
    before = Keys(tmp_path).public_keys("head")
    tokens = Keys(tmp_path).public_keys("token")
    [turn] = recipes("keys", "The key that signs heads")
    follow(turn, tmp_path, SECRETS=str(tmp_path))
    keys = Keys(tmp_path)
    now = keys.public_keys("head")
    assert (now[1:], len(now)) == (before, 2)
    assert json.loads(keys.text("head_private_key"))["kid"] == now[0]["kid"]
    assert (tmp_path / "head_private_key").stat().st_mode & 0o077 == 0
    assert keys.public_keys("token") == tokens
    refused = nguonthu("turn-key", str(tmp_path), "--heads", "--leaked")
    assert (refused.returncode, "stays to be proven by it" in refused.stderr) == (1, True)
    assert Keys(tmp_path).public_keys("head") == now


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_page_is_found_and_names_commands_that_exist(page: Path) -> None:
    assert f"(operations/{page.name})" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    known = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for words in re.findall(
        r"nguonthu ((?:facts |streams |ledger |accounts )?[a-z][a-z-]+)", page.read_text(encoding="utf-8")
    ):
        assert f"| `nguonthu {words}` |" in known, words


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_what_is_typed_in_the_deployed_house_names_parts_and_volumes_that_it_has(page: Path) -> None:
    known = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for block in re.findall(
        r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        for line in block.splitlines():
            _, what, verb, *given = line.split()
            names = [word for word in given if not word.startswith("--")]
            if what == "volume":
                assert {name.removeprefix("nguonthu_") for name in names} <= COMPOSE["volumes"].keys(), line
            elif verb == "run":
                part, *words = names
                assert part in PARTS
                assert not words or f"| `nguonthu {' '.join(words)}` |" in known, line
            else:
                assert set(names) <= PARTS.keys(), line
