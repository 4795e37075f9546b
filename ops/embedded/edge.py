"""The one door: Caddy's configuration, by which one origin is shared by seven apps and creatives come from a second.

The same text serves the embedded house and `deploy/Caddyfile`.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared.contracts import SERVICES

DEMO = "demo"

PAGES: Final = {
    "/account": "accounts",
    "/dev/mail": "accounts",
    "/docs": "accounts",
    "/static": "accounts",
    "/desk": "accounts",
    "/desk/ads": "ads",
    "/desk/events": "events",
    "/desk/subscriptions": "subscriptions",
    "/desk/payments": "payments",
    "/subscribe": "subscriptions",
    "/advertise": "ads",
    "/ads.js": "ads",
    "/b": "ads",
    "/events": "events",
    "/pay": "payments",
    "/gateway": "payments",
    "/finance": "ledger",
}
"""Which service answers below a path; the longest wins, and what is not named goes to the newspaper."""

FALLBACK_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; "
    "frame-src 'self' {creatives}; img-src 'self' data: {creatives}"
)
CREATIVES_POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self' 'unsafe-inline'; sandbox allow-popups; "
    "frame-ancestors {base}"
)
PERMISSIONS = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()"
BODY_LIMIT = "10MB"
WHOLE = "1MiB"
"""How much of a body the edge takes in before an app hears of the request: more than any form has."""


@dataclass(frozen=True)
class Edge:
    """What the edge needs to know: its two addresses and where each app listens (`host:port`)."""

    base_url: str
    creatives_url: str
    apps: dict[str, str]
    loopback: bool = True
    storage: str = ""
    patience_s: int = 8
    """How long a request waits for an app that is just starting again."""


def caddyfile(edge: Edge) -> str:
    """The whole configuration."""
    secure = edge.base_url.startswith("https://") or edge.base_url.startswith("{$")
    blocks = [_options(edge), _headers(secure=secure), _site(edge), _creatives(edge)]
    if edge.loopback:
        at = urlsplit(edge.base_url)
        port = at.port or 80
        if at.hostname != "127.0.0.1":
            redirected = f"\tredir {edge.base_url}{{uri}} 307\n"
            blocks.append(f"http://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n{redirected}}}\n")
        # A page of a stranger's site whose name was pointed at this machine gets nothing.
        blocks.append(f'http://:{port} {{\n\tbind 127.0.0.1\n\trespond "This is another house." 421\n}}\n')
    return "\n".join(blocks)


def _options(edge: Edge) -> str:
    lines = ["admin off", "persist_config off", "grace_period 2s"]
    if edge.loopback:
        lines.append("auto_https off")
    if edge.storage:
        lines.append(f'storage file_system "{edge.storage}"')
    lines += [
        "servers {",
        "\ttimeouts {",
        "\t\tread_header 10s",
        "\t\tread_body 60s",
        "\t\tidle 2m",
        "\t}",
        "}",
    ]
    return "{\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"


def _headers(*, secure: bool) -> str:
    """Headers that every answer bears, as a snippet."""
    lines = ["-Server", "X-Content-Type-Options nosniff"]
    if secure:
        lines.append('Strict-Transport-Security "max-age=31536000; includeSubDomains"')
    inside = "".join(f"\t\t{line}\n" for line in lines)
    # Each default is a directive of its own: in one block, a header that an app sets would keep all of them away.
    defaults = "".join(
        f"\theader ?{line}\n"
        for line in (
            "Referrer-Policy strict-origin-when-cross-origin",
            f'Permissions-Policy "{PERMISSIONS}"',
            "Cross-Origin-Opener-Policy same-origin",
        )
    )
    body = f"\trequest_body {{\n\t\tmax_size {BODY_LIMIT}\n\t}}\n"
    return f"(common) {{\n\tencode zstd gzip\n\theader {{\n{inside}\t}}\n{defaults}{body}}}\n"


def _site(edge: Edge) -> str:
    policy = FALLBACK_POLICY.format(creatives=edge.creatives_url)
    lines = [
        f"{edge.base_url} {{",
        *_bind(edge),
        "\timport common",
        f'\theader ?Content-Security-Policy "{policy}"',
    ]
    for service in SERVICES:
        lines += _to(edge, f"/health/{service}", service, exact=True, rewrite="/health/ready")
    # Metrics and health are for the operator's own network.
    lines += [
        "\t@inside path /health /health/* /metrics /metrics/*",
        "\thandle @inside {",
        "\t\trespond 404",
        "\t}",
    ]
    for service in SERVICES:
        lines += _to(edge, f"/api/{service}", service)
    for path in sorted(PAGES, key=len, reverse=True):
        lines += _to(edge, path, PAGES[path], exact=path.endswith(".js"))
    lines += ["\thandle {", *_proxy(edge, DEMO), "\t}"]
    lines += [*_errors(policy), "}"]
    return "\n".join(lines) + "\n"


def _creatives(edge: Edge) -> str:
    """The second origin: advertisers' files alone, without cookies in either direction."""
    policy = CREATIVES_POLICY.format(base=edge.base_url)
    proxy = _proxy(edge, "ads", "header_up -Cookie", "header_up -Authorization", "header_down -Set-Cookie")
    lines = [
        f"{edge.creatives_url} {{",
        *_bind(edge),
        "\timport common",
        f'\theader ?Content-Security-Policy "{policy}"',
        "\theader Cross-Origin-Resource-Policy cross-origin",
        "\thandle /creatives/* {",
        *proxy,
        "\t}",
        "\thandle {",
        "\t\trespond 404",
        "\t}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _bind(edge: Edge) -> list[str]:
    return ["\tbind 127.0.0.1"] if edge.loopback else []


def _to(edge: Edge, path: str, app: str, *, exact: bool = False, rewrite: str = "") -> list[str]:
    """Send a path and what lies below it to an app."""
    name = "@" + path.strip("/").replace("/", "-").replace(".", "-")
    lines = [f"\t{name} path {path}" + ("" if exact else f" {path}/*"), f"\thandle {name} {{"]
    if rewrite:
        lines.append(f"\t\trewrite * {rewrite}")
    return [*lines, *_proxy(edge, app), "\t}"]


def _proxy(edge: Edge, name: str, *more: str) -> list[str]:
    # What was already sent is never sent twice: only a refused connection is tried again. A body comes to the app in
    # one piece: who dribbles one takes a place at the edge, and none of the few where people buy.
    orders = (
        f"lb_try_duration {edge.patience_s}s",
        "lb_try_interval 200ms",
        f"request_buffers {WHOLE}",
        *more,
    )
    return [f"\t\treverse_proxy {edge.apps[name]} {{", *(f"\t\t\t{order}" for order in orders), "\t\t}"]


def _errors(policy: str) -> list[str]:
    """What is said while an app is away: as a problem to programs, as a sentence to people."""
    problem = (
        '{"type":"/docs/problems#unavailable","title":"Service Unavailable","status":503,"code":"unavailable",'
        '"detail":"This part of the house is starting again; try in a few seconds."}'
    )
    page = (
        '<!doctype html><html lang="vi"><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Nguồn Thu</title>'
        "<main><h1>Xin chờ vài giây</h1><p>Phần này đang khởi động lại; trang sẽ tự tải lại.</p>"
        '<p lang="en">This part is starting again; the page reloads by itself.</p></main></html>'
    )
    return [
        "\thandle_errors 502 503 504 {",
        "\t\timport common",
        f'\t\theader ?Content-Security-Policy "{policy}"',
        "\t\theader Retry-After 5",
        "\t\t@program path /api/* /health/*",
        "\t\thandle @program {",
        "\t\t\theader Content-Type application/problem+json",
        f"\t\t\trespond `{problem}` 503",
        "\t\t}",
        "\t\thandle {",
        "\t\t\theader Content-Type text/html;charset=utf-8",
        f"\t\t\trespond `{page}` 503",
        "\t\t}",
        "\t}",
    ]
