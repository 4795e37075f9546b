"""What stands between a change and main."""

import os
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
@pytest.mark.parametrize(("forbid", "code"), [("1", 1), ("", 0)])
def test_a_skipped_test_fails_where_skips_are_forbidden(tmp_path, forbid, code):
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\ndef test_a():\n    pytest.skip('no browser')\n\ndef test_b():\n    pass\n"
    )
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    environ = {**os.environ, "FORBID_SKIPS": forbid, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stdout
