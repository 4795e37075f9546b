"""What stands between a change and main."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.promise("F9")
@pytest.mark.parametrize(
    "step",
    [
        "make install",
        "make lint",
        "contracts --check",
        "make test",
        "up --detach",
        ".ci/pythons",
        "up --detach --no-demo",
        "FORBID_SKIPS=1",
        "--cov=",
        "chromium",
    ],
)
def test_ci_holds_each_of_its_steps_and_stops_at_the_first_failure(step):
    assert "set -euo pipefail" in SCRIPT
    assert step in SCRIPT
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


@pytest.mark.promise("F9")
def test_nothing_in_ci_is_tried_a_second_time():
    kinder = re.findall(r"\|\|(?! (?:true|log)\b).*|--lf|--reruns|until .*; do", SCRIPT)
    assert kinder == []
    # `true` forgives only the last tidying up.
    assert [line for line in SCRIPT.splitlines() if "|| true" in line] == [
        line for line in SCRIPT.splitlines() if line.startswith("leave() {")
    ]


def test_what_python_compiled_is_kept_also_where_the_machine_says_otherwise():
    told = subprocess.run(
        ["make", "--eval", "shown: ; @env", "shown"],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PATH=" in told.stdout
    assert "PYTHONDONTWRITEBYTECODE" not in told.stdout
    assert "unset PYTHONDONTWRITEBYTECODE" in SCRIPT


@pytest.mark.promise("F1", "F9")
def test_ci_finds_each_python_that_works_and_no_name_that_only_answers(tmp_path):
    names, chosen = tmp_path / "bin", tmp_path / "pyenv" / "versions" / "3.12.9" / "bin"
    for folder, name, says in (
        (names, "python3.11", "echo /first"),
        (names, "python3.12", "echo 'pyenv: version 3.12.9 is not chosen' >&2; exit 127"),
        (chosen, "python", "echo /chosen"),
        (names, "python3.13", "exit 1"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{says}\n")
        (folder / name).chmod(0o755)
    told = subprocess.run(
        [ROOT / ".ci" / "pythons"],
        env={"PATH": f"{names}:/usr/bin:/bin", "PYENV_ROOT": str(tmp_path / "pyenv"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in told.stdout.splitlines() if "/usr/" not in line] == ["/first", "/chosen"]
    assert told.stderr == ""


@pytest.mark.promise("F9")
@pytest.mark.parametrize(("forbid", "code"), [("1", 1), ("", 0)])
def test_a_skipped_test_fails_where_skips_are_forbidden(tmp_path, forbid, code):
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\ndef test_a():\n    pytest.skip('no browser')\n\ndef test_b():\n    pass\n"
    )
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    environ = {**os.environ, "FORBID_SKIPS": forbid, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:valkey",
            "-c",
            os.devnull,
            str(tmp_path),
        ],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stdout
