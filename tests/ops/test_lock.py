"""What is installed: out of the lock alone, out of wheels alone, wherever the house promises to run."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
DECLARED: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS: dict[str, list[str]] = DECLARED["dependency-groups"]
RUN = [*DECLARED["project"]["dependencies"], *GROUPS["build"]]
LEFT_OUT = {Requirement(line).name for line in DECLARED["tool"]["uv"]["override-dependencies"]}

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin")

pytestmark = pytest.mark.promise("F1", "T17")


def locked(name: str) -> dict[str, Requirement]:
    """The lines of a lock by the name of their package."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found = [Requirement(line.split("--hash")[0]) for line in lines]
    return {canonicalize_name(one.name): one for one in found}


def meets(lock: dict[str, Requirement], wanted: Requirement) -> bool:
    """Whether the lock holds a version that is wanted."""
    one = lock.get(canonicalize_name(wanted.name))
    return one is not None and wanted.specifier.contains(str(one.specifier).removeprefix("=="))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_a_wheel_is_found_for_every_line_on_every_python_and_machine_that_is_promised(
    python: str, platform: str, tmp_path: Path
) -> None:
    told = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--target", tmp_path),
            *("--python-version", python, "--python-platform", platform),
            *("--only-binary", ":all:", "--require-hashes", "--no-deps"),
            *("-r", "requirements/dev.txt", "-r", "requirements/uv.txt"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    here |= {"sys_platform": "darwin" if "darwin" in platform else "linux"}
    lines = (locked("dev") | locked("uv")).values()
    wanted = sum(line.marker is None or line.marker.evaluate(here) for line in lines)
    assert len(re.findall(r"^ \+ ", told.stderr, re.MULTILINE)) == wanted


@pytest.mark.parametrize(
    ("lock", "asked"),
    [("run", RUN), ("dev", [*RUN, *GROUPS["dev"]]), ("uv", ["uv"])],
    ids=lambda v: str(v)[:3],
)
def test_whatever_is_declared_is_locked_the_build_backend_too(lock: str, asked: list[str]) -> None:
    lines = locked(lock)
    assert [line for line in asked if not meets(lines, Requirement(line))] == []
    assert set(DECLARED["build-system"]["requires"]) <= set(GROUPS["build"])


@pytest.mark.parametrize("name", ["run", "dev"])
def test_whatever_a_locked_package_asks_for_is_locked(name: str) -> None:
    """Installed with `--no-deps`, a package that is missing from the lock would be missing from the house."""
    lock, missing = locked(name), []
    asked = [Requirement(line) for line in (*RUN, *GROUPS["dev"])]
    extras = {canonicalize_name(one.name): one.extras for one in asked}
    for package, line in lock.items():
        if line.marker is not None and not line.marker.evaluate():
            continue
        for text in distribution(package).requires or ():
            wanted = Requirement(text)
            known = [{"extra": extra} for extra in ("", *extras.get(package, ()))]
            if wanted.marker and not any(map(wanted.marker.evaluate, known)):
                continue
            if not meets(lock, wanted) and wanted.name not in LEFT_OUT:
                missing.append(f"{package} asks for {text}")
    assert missing == []


@pytest.mark.parametrize("lock", ["run", "dev", "uv"])
def test_every_line_of_a_lock_names_one_version_and_its_hashes(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    assert [
        line for line in lines if not re.match(r"\S+==\S+( ;.*?)?(\s*--hash=sha256:[0-9a-f]{64})+$", line)
    ] == []


def test_what_runs_is_locked_at_the_versions_that_are_tested() -> None:
    run, dev = locked("run"), locked("dev")
    assert {name: dev.get(name) for name in run} == run


def test_what_is_installed_is_compiled_at_once_so_that_no_start_has_to() -> None:
    """Where Python is told to write no bytecode, each start would compile some thousand modules anew: seven seconds."""
    [sync] = re.findall(r"\$\(UV\) sync .*", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert "--compile-bytecode" in sync


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_nothing_is_installed_but_wheels_of_the_lock_and_the_project_itself(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if re.search(r"pip install|\(UV\) (install|sync)", line)]
    assert len(commands) >= 2
    for line in commands:
        # `sync` installs what it is given and asks for nothing besides, as `--no-deps` does.
        alone = "--no-deps" in line or "$(UV) sync" in line
        of_the_lock = "--require-hashes" in line and "--only-binary :all:" in line and "requirements/" in line
        itself = "--no-build-isolation" in line and line.split()[-1] in (".", "/src")
        assert alone, line
        assert of_the_lock or itself, line


FOR_OTHERS = {"httptools": {"uvicorn.protocols.http.httptools_impl"}}
"""Packages that a module of another package asks for, when our code imports that module."""


def names_in_the_code() -> set[str]:
    """Whatever our code imports, and every text in it: programs and files inside wheels are found by their name."""
    found: set[str] = set()
    for top in ("shared", "services", "ops", "demo"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found |= {node.module, node.module.split(".")[0]}
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


def names_of(installed: Distribution) -> set[str]:
    """The modules and programs that a package brings."""
    files = [file for file in installed.files or () if ".dist-info" not in str(file)]
    programs = {file.name for file in files if file.parent.name == "bin"}
    return programs | {file.parts[0].removesuffix(".py") for file in files if file.parts[0] != ".."}


def test_nothing_is_required_that_nothing_imports_or_serves() -> None:
    used = names_in_the_code()
    asked = [Requirement(line).name for line in DECLARED["project"]["dependencies"]]
    names = {name: names_of(distribution(name)) | FOR_OTHERS.get(name, set()) for name in asked}
    assert [name for name in asked if not names[name] & used] == []
