"""House rules that a program can hold."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from shared import contracts
from shared.contracts import SERVICES
from shared.contracts.roles import STAFF
from shared.errors import Refused
from shared.settings import describe

ROOT = Path(__file__).parent.parent
OURS = [
    path
    for top in ("shared", "services", "ops", "demo", "tests", "bench")
    for path in sorted((ROOT / top).rglob("*.py"))
    if "/migrations/" not in str(path)
]
MAX_FUNCTION = 70
MAX_FILE = 400
ROOMS = {
    "app", "api", "pages", "consumers", "jobs", "actions", "queries", "rules", "tables", "gateways",
    "migrations", "templates", "locale", "README", "static", "__init__", "__pycache__",
    "simulators",
}  # fmt: skip


def words(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_short_and_say_what_they_promise(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= MAX_FILE, f"{path.name}: split it by domain noun"
    if text.strip() and "tests" not in path.parts:
        assert ast.get_docstring(tree), f"{path}: a module opens with one sentence saying what it promises"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{path}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("service", SERVICES)
def test_every_flat_has_the_same_rooms(service):
    flat = ROOT / "services" / service
    found = {p.name.split(".")[0] for p in flat.iterdir() if p.suffix != ".csv"}  # data is no room
    assert found <= ROOMS
    assert {"app", "consumers", "jobs", "actions", "queries", "rules", "tables", "README"} <= found


@pytest.mark.parametrize("service", SERVICES)
def test_a_noun_has_one_file_name_in_every_room_of_a_flat(service):
    """`sponsor` in one room and `sponsorships` in another are one noun under two names."""
    rooms = [p for p in (ROOT / "services" / service).iterdir() if p.is_dir() and p.name in ROOMS]
    names = sorted({path.stem for room in rooms for path in room.glob("*.py")} - {"__init__"})
    assert [(a, b) for a in names for b in names if a != b and b.startswith(a.rstrip("s"))] == []


@pytest.mark.parametrize("service", SERVICES)
def test_what_rules_take_and_give_is_never_changed(service):
    """Every class of a rule is frozen or a refusal; one with an underscore gathers within a function alone."""
    flat = ROOT / "services" / service
    rules = [path for path in OURS if path == flat / "rules.py" or path.is_relative_to(flat / "rules")]
    guilty = [
        f"{path.name}:{node.lineno} {node.name}"
        for path in rules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        and "frozen=True" not in [ast.unparse(each) for each in node.keywords]
        and [ast.unparse(base) for base in node.bases] != ["Refused"]
    ]  # fmt: skip
    assert rules
    assert guilty == []


def test_what_pages_share_is_called_words_and_nothing_is_common():
    """Codes in words stand in `pages/words.py`; a file is named for what it holds, not for having no other place."""
    vague = {"common", "labels", "names", "helpers", "utils", "misc"}
    assert [str(path.relative_to(ROOT)) for path in OURS if path.stem in vague] == []


def test_shared_knows_no_flat_not_even_by_its_name():
    """Only what all agree on names them: the contracts, and the map of the house's pages."""
    agreed = (ROOT / "shared" / "contracts", ROOT / "shared" / "web" / "doors.py")
    guilty = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value}"
        for path in OURS
        if path.is_relative_to(ROOT / "shared") and not any(path.is_relative_to(place) for place in agreed)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in SERVICES
    ]
    assert guilty == []


def test_no_list_of_staff_roles_is_written_twice():
    """Who works at a desk, and who oversees all of them, stands in shared/contracts/roles.py."""
    lists = [
        (frozenset(each.value for each in node.elts if isinstance(each, ast.Constant)), f"{path.name}:{node.lineno}")
        for path in OURS
        if path.is_relative_to(ROOT / "services") or path.is_relative_to(ROOT / "shared")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Set) and len(node.elts) > 1
        and all(isinstance(each, ast.Constant) and each.value in STAFF for each in node.elts)
    ]  # fmt: skip
    assert [(roles, at) for n, (roles, at) in enumerate(lists) if roles in [r for r, _ in lists[:n]]] == []


@pytest.mark.parametrize("service", SERVICES)
def test_wiring_stays_wiring(service):
    assert words(f"services/{service}/app.py").count("\n") < 40


def test_what_a_handler_receives_has_one_name_in_every_flat():
    """`Request` and `Connection` of shared/request.py: with Litestar's own each file would fill them in anew."""
    own = re.compile(
        r"^from litestar import .*\bRequest\b|\bASGIConnection\b|\bRequest\[|^\w+ = Request$", re.MULTILINE
    )
    guilty = [
        str(path.relative_to(ROOT))
        for path in OURS
        if path.name not in ("request.py", "test_tidy.py") and own.search(path.read_text(encoding="utf-8"))
    ]
    assert guilty == []


def test_time_and_ids_come_from_the_clock_alone():
    banned = re.compile(r"datetime\.(now|utcnow)\(|date\.today\(|time\.time\(|uuid4\(|uuid7\(|secrets\.token")
    guilty = [
        f"{path.relative_to(ROOT)}:{n}"
        for path in OURS
        if path.parts[len(ROOT.parts)] in ("shared", "services", "ops", "demo") and path.name != "clock.py"
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if banned.search(line)
    ]
    assert guilty == []


def test_every_setting_is_in_the_docs():
    text = words("docs/settings.md")
    for variable, default, meaning in describe():
        assert f"| `{variable}` | {f'`{default}`' if default else 'empty'} | {meaning} |" in text


def test_every_fact_is_in_the_docs():
    text = words("docs/facts.md")
    assert [s for s in contracts.ALL if f"`{s}`" not in text] == []


def test_the_docs_say_of_each_fact_whether_anybody_sends_it_yet():
    """A class that its publisher makes nowhere is sent by nobody; what sellers say alike is made in `selling`."""
    rows = {
        line.split("`")[1]: line for line in words("docs/facts.md").splitlines() if line.startswith("| `")
    }
    for service in SERVICES:
        rooms = [ROOT / "shared" / "selling.py", *(ROOT / "services" / service).rglob("*.py")]
        code = "\n".join(path.read_text(encoding="utf-8") for path in rooms)
        for kind in contracts.published_by(service):
            # Made here, or handed to `acts.record`, which makes it.
            made = rf"(?<!class )\b{kind.__name__}\(|\(tx, {kind.__name__},"
            sent = re.search(made, code) is not None
            assert sent != ("*(not sent yet)*" in rows[kind.subject()]), kind.subject()


def test_the_docs_say_of_each_fact_who_hears_it():
    """What all hear of accounts is wired in one place for all; of the rest each service's own doors tell."""
    hearing = {name: import_module(f"services.{name}.consumers").consumer.subjects() for name in SERVICES}
    rows = [
        line.strip("| ").split(" | ") for line in words("docs/facts.md").splitlines() if line[:3] == "| `"
    ]
    for fact, *_, heard in rows:
        if heard != "all":
            said = heard.replace("nobody yet", "").replace("sellers", "ads, subscriptions, events")
            hear = {name for name in SERVICES if fact.strip("`") in hearing[name]}
            assert set(said.split(", ")) - {""} == hear, fact


def test_every_problem_code_is_in_the_docs():
    for service in SERVICES:
        for room in ("rules", "actions", "queries", "gateways", "api", "pages"):
            if (ROOT / "services" / service / f"{room}.py").exists() or (
                ROOT / "services" / service / room
            ).is_dir():
                import_module(f"services.{service}.{room}")
    text = words("shared/web/problems.md")

    def codes(kind):
        own = set() if kind.__module__.startswith("tests.") else {kind.code}
        return own | {code for sub in kind.__subclasses__() for code in codes(sub)}

    ours = codes(Refused) - {"refused"}
    assert sorted(code for code in ours if f"| `{code}` |" not in text) == []


def test_requirements_carry_no_address_and_nothing_names_where_this_checkout_lies():
    for path in sorted((ROOT / "requirements").iterdir()):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path.name
        assert not re.search(r"^-(?!r )", text, re.MULTILINE), f"{path.name}: an option other than -r"
    folders = ("shared", "services", "ops", "demo", "tests", "bench", "docs", "deploy", ".ci")
    ours = [
        p
        for top in folders
        for p in (ROOT / top).rglob("*")
        if p.suffix in {".py", ".md", ".conf", ".json", ""}
    ]
    written = [p for p in ours if p.is_file() and "__pycache__" not in p.parts]
    assert [p.name for p in written if f"{ROOT}/" in p.read_text(encoding="utf-8", errors="replace")] == []
