"""The one door: each page and API reaches its service, what is inside stays inside, and headers guard the rest."""

import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops.embedded import Stack
from ops.embedded.apps import APPS, caddy
from ops.embedded.edge import PAGES
from shared.contracts import SERVICES
from tests.shared.test_problems import judge


class Echo(BaseHTTPRequestHandler):
    """Stands in for an app behind Caddy and tells which one it is and what reached it."""

    app = ""
    asked = 0
    """How many requests with a body any of them has heard of."""

    def do_POST(self) -> None:
        Echo.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.endswith("/broken"):
            self.connection.close()
            return
        told = json.dumps(
            {"app": self.app, "path": self.path, "cookie": self.headers.get("Cookie", "")}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.send_header("Set-Cookie", "a=b")
        self.send_header("Server", "Echo")
        if self.path.startswith("/subscribe"):
            self.send_header("Content-Security-Policy", "default-src 'none'")
            self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Door:
    """Caddy with seven echoes behind it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, path: str, host: str = "localhost", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        asked.request("GET", path, headers={"Host": f"{host}:{self.port}", **headers})
        answer = asked.getresponse()
        body = answer.read()
        asked.close()
        return answer, body

    def app_at(self, path: str) -> str:
        answer, body = self.ask(path)
        assert answer.status == 200, (path, answer.status, body)
        return str(json.loads(body)["app"])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home = tmp_path_factory.mktemp("door")
    stack = Stack(home)
    servers = []
    for name in APPS:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("EchoOf", (Echo,), {"app": name}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        stack.ports._ports[name] = server.server_port
    stack.find_address("http://localhost:8080", "http://creatives.localhost:8080")
    stack.launch(caddy(home, stack.ports, stack.address, stack.creatives, patience_s=1))
    end = time.monotonic() + 20
    while stack.children["caddy"].missing():
        assert time.monotonic() < end
        time.sleep(0.05)
    # The last app is away, for the test of what is said then.
    servers[APPS.index("events")].shutdown()
    servers[APPS.index("events")].server_close()
    yield Door(stack.ports.of("caddy"))
    stack.stop()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("path", "app"), [(p, a) for p, a in PAGES.items() if a != "events"])
@pytest.mark.promise("F4")
def test_each_page_goes_to_its_service(door: Door, path: str, app: str) -> None:
    assert door.app_at(path) == app
    if not path.endswith(".js"):
        assert door.app_at(path + "/below?x=1") == app
    # A longer name is another page.
    assert door.app_at(path + "-more") == PAGES.get(path.rsplit("/", 1)[0], "demo")


@pytest.mark.promise("T8")
def test_an_app_hears_of_a_form_once_it_is_there_as_a_whole(door: Door) -> None:
    form = b"name=" + b"x" * 4000
    head = f"POST /subscribe/x HTTP/1.1\r\nHost: localhost:{door.port}\r\nContent-Length: {len(form)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", door.port), timeout=15) as dribbling:
        dribbling.sendall(head.encode() + form[:100])
        for byte in form[100:110]:
            time.sleep(0.05)
            dribbling.sendall(bytes([byte]))
        assert Echo.asked == 0, "it takes no place where people buy"
        dribbling.sendall(form[110:])
        assert dribbling.recv(4000).startswith(b"HTTP/1.1 200")
    assert Echo.asked == 1


@pytest.mark.parametrize(
    "path", ["/", "/kinh-te/bai-1", "/accountant", "/payments", "/financed", "/api", "/api/other/v1"]
)
def test_everything_else_is_the_newspaper(door: Door, path: str) -> None:
    assert door.app_at(path) == "demo"


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "events"])
@pytest.mark.promise("F4")
def test_each_api_goes_to_its_service_and_only_readiness_is_public(door: Door, service: str) -> None:
    assert door.app_at(f"/api/{service}/v1/anything") == service
    _, body = door.ask(f"/health/{service}")
    assert json.loads(body) == {"app": service, "path": "/health/ready", "cookie": ""}


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/x", "/health", "/health/live", "/health/ready", "/health/demo"]
)
def test_what_is_for_the_operator_is_not_public(door: Door, path: str) -> None:
    assert door.ask(path)[0].status == 404


@pytest.mark.promise("F4")
def test_every_answer_bears_the_security_headers(door: Door) -> None:
    for path in ("/", "/docs", "/metrics", "/events"):
        answer, _ = door.ask(path)
        assert answer.getheader("X-Content-Type-Options") == "nosniff", path
        assert answer.getheader("Referrer-Policy"), path
        assert answer.getheader("Permissions-Policy"), path
        assert "frame-ancestors 'none'" in (answer.getheader("Content-Security-Policy") or ""), path
        assert answer.getheader("Server") in (None, "Caddy"), path
        assert "unsafe" not in (answer.getheader("Content-Security-Policy") or "")


def test_a_services_own_policy_is_kept_and_the_other_headers_are_added(door: Door) -> None:
    answer, _ = door.ask("/subscribe")
    assert answer.getheader("Content-Security-Policy") == "default-src 'none'"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    # What the app leaves out comes from the door none the less.
    assert answer.getheader("Permissions-Policy")
    assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"


@pytest.mark.promise("F4")
def test_creatives_come_from_their_own_origin_without_cookies(door: Door) -> None:
    answer, body = door.ask("/creatives/abc.png", host="creatives.localhost", Cookie="nt_page=secret")
    assert json.loads(body) == {"app": "ads", "path": "/creatives/abc.png", "cookie": ""}
    assert answer.getheader("Set-Cookie") is None
    assert "sandbox" in (answer.getheader("Content-Security-Policy") or "")
    for path in ("/", "/account", "/api/ads/v1/keys", "/advertise"):
        assert door.ask(path, host="creatives.localhost")[0].status == 404, path


def test_a_strangers_name_for_this_machine_gets_nothing(door: Door) -> None:
    answer, body = door.ask("/finance", host="evil.example")
    assert (answer.status, b"app" in body) == (421, False)


def test_the_number_of_this_machine_leads_to_its_name(door: Door) -> None:
    answer, _ = door.ask("/finance?a=1", host="127.0.0.1")
    assert (answer.status, answer.getheader("Location")) == (307, f"http://localhost:{door.port}/finance?a=1")


def test_the_number_of_this_machine_may_be_the_address_itself(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    for name in APPS:
        stack.ports.choose(name)
    part = caddy(tmp_path, stack.ports, "http://127.0.0.1:8080", "http://creatives.localhost:8080")
    asked = [part.argv[0], "validate", *part.argv[2:]]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr


def test_an_app_that_is_away_is_told_as_a_problem_to_programs_and_in_words_to_people(door: Door) -> None:
    answer, body = door.ask("/api/events/v1/events")
    assert (answer.status, answer.getheader("Retry-After")) == (503, "5")
    assert answer.getheader("Content-Type") == "application/problem+json"
    judge().validate(json.loads(body))
    assert (json.loads(body)["code"], json.loads(body)["status"]) == ("unavailable", 503)
    answer, body = door.ask("/events")
    assert (answer.status, answer.getheader("Retry-After")) == (503, "5")
    assert "Xin chờ vài giây" in body.decode()


@pytest.mark.promise("T8")
def test_an_app_that_breaks_off_in_the_midst_is_told_as_one_that_is_away(door: Door) -> None:
    answer, body = door.ask("/api/ads/v1/broken")
    assert (answer.status, answer.getheader("Retry-After")) == (503, "5")
    judge().validate(json.loads(body))
    answer, body = door.ask("/advertise/broken")
    assert (answer.status, answer.getheader("Retry-After")) == (503, "5")
    assert "Xin chờ vài giây" in body.decode()
