"""The six services, the sample newspaper and Caddy in front of them, as parts of the embedded house."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ops.embedded.edge import DEMO, Edge, caddyfile
from ops.embedded.keys import write_private
from ops.embedded.parts import http_answer, plain_env, program
from ops.embedded.ports import Ports
from ops.embedded.process import Part
from shared.contracts import SERVICES
from shared.settings import is_loopback

APPS = (*SERVICES, DEMO)
EDGE = "caddy"


def app(home: Path, ports: Ports, name: str, env: dict[str, str]) -> Part:
    """One service, or the newspaper, forked from the supervisor."""
    port = ports.choose(name)

    def work() -> None:
        from ops.serve import serve

        serve(name, port)

    return Part(name, port, lambda: app_waits_for(port), work=work, env=plain_env() | env, cwd=home)


def app_waits_for(port: int) -> str:
    """Nothing when the app says that it is ready, else what it waits for, as it says it."""
    return http_answer(port, "/health/ready", limit_s=5, words=_waits_for)


def _waits_for(body: bytes) -> str:
    try:
        return "; ".join(msgspec.json.decode(body, type=_Waiting).waits_for)
    except msgspec.MsgspecError:
        return ""


class _Waiting(msgspec.Struct):
    waits_for: list[str]


def with_port(url: str, port: int) -> str:
    """The same address at another port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + ("" if port == 80 else f":{port}")  # noqa: PLR2004 - HTTP's own


def caddy(home: Path, ports: Ports, base_url: str, creatives_url: str, patience_s: int = 8) -> Part:
    """Caddy, listening at the house's address and knowing where each app listens."""
    folder = home / "caddy"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    edge = Edge(
        base_url,
        creatives_url,
        {name: f"127.0.0.1:{ports.of(name)}" for name in APPS},
        loopback=is_loopback(base_url),
        storage=str(folder / "storage"),
        patience_s=patience_s,
    )
    conf = folder / "Caddyfile"
    write_private(conf, caddyfile(edge))
    port = urlsplit(base_url).port or (443 if base_url.startswith("https://") else 80)

    return Part(
        EDGE,
        port,
        lambda: edge_waits_for(port),
        [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(conf)],
        env=plain_env() | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
        cwd=home,
    )


def edge_waits_for(port: int) -> str:
    """Nothing when Caddy answers: the kernel takes connections for one that is frozen, too."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            # No host of this house, so that Caddy answers by itself; where it speaks TLS, it says that.
            line.sendall(b"GET / HTTP/1.1\r\nHost: nobody.invalid\r\nConnection: close\r\n\r\n")
            answered = bool(line.recv(1))
    except OSError as error:
        return f"port {port} does not answer ({type(error).__name__})"
    return "" if answered else f"port {port} says nothing"
