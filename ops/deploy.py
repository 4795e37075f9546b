"""What the deployed shape needs besides `compose.yaml`: its secrets, the cluster's NATS and the edge's Caddyfile."""

from pathlib import Path

from ops import counters
from ops.embedded.edge import DEMO, Edge, caddyfile
from ops.embedded.keys import NATS_USERS, Keys
from ops.embedded.parts import GIB, nats_authorization
from ops.keys import of_service
from shared.contracts import SERVICES
from shared.keys import OPERATOR

NODES = ("nats-1", "nats-2", "nats-3")
PORT = 8000
READABLE = 0o644
HEALTH = "\nhttp://:2015 {\n\tbind 127.0.0.1\n\trespond 200\n}\n"


def edge_text() -> str:
    """The text of `deploy/Caddyfile`: addresses come from the environment, apps are found by their names."""
    apps = {name: f"{name}:{PORT}" for name in SERVICES}
    # The newspaper shares Caddy's network, so that the house's public address means the same to both.
    apps[DEMO] = f"127.0.0.1:{PORT}"
    edge = Edge("{$NGUONTHU_BASE_URL}", "{$NGUONTHU_CREATIVES_URL}", apps, loopback=False)
    return caddyfile(edge) + HEALTH


def nats_text(keys: Keys) -> str:
    """The configuration of each NATS node; its name is given when it is started."""
    password = keys.text("nats_route")
    routes = ", ".join(f'"nats://route:{password}@{node}:6222"' for node in NODES)
    authorization = nats_authorization()
    for user in NATS_USERS:
        authorization = authorization.replace(f"$NATS_{user.upper()},", f"{keys.nats_password(user)},")
    return (
        "listen: 0.0.0.0:4222\n"
        "http: 127.0.0.1:8222\n"
        "max_payload: 1MB\n"
        "jetstream {\n"
        '  store_dir: "/data"\n'
        "  sync_interval: always\n"
        f"  max_memory_store: {GIB // 4}\n"
        f"  max_file_store: {16 * GIB}\n"
        "}\n"
        "cluster {\n"
        "  name: nguonthu\n"
        "  listen: 0.0.0.0:6222\n"
        f"  authorization {{user: route, password: {password}, timeout: 5}}\n"
        f"  routes: [{routes}]\n"
        "}\n" + authorization
    )


def write_secrets(folder: Path) -> list[str]:
    """Make what is missing in the folder of secrets; what is there stays. Returns the names of all files.

    The folder is closed to others. The files in it are not, because each is mounted alone into a container that
    runs as another user.
    """
    keys = Keys(folder)
    admin = keys.text("postgres_admin")
    operator = keys.text("operator")
    formers = keys.formers()
    held = {service: of_service(operator, service, formers) for service in SERVICES}
    made = {
        **{
            f"{name}_{service}": value
            for service in SERVICES
            for name, value in held[service].items()
            if name != "csrf_secret"
        },
        "csrf_secret": held["accounts"]["csrf_secret"],
        "nats_password_operator": keys.nats_password(OPERATOR),
        "postgres_admin_url": f"postgresql://postgres:{admin}@postgres:5432/postgres",
        "valkey.conf": "bind 0.0.0.0\ndir /data\n" + counters.configuration(operator),
        "nats.conf": nats_text(keys),
    }
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    # VNPay gives them by contract; empty, they are the simulator's, which production refuses.
    (folder / "vnpay_terminals").touch()
    for file in folder.iterdir():
        file.chmod(READABLE)
    return sorted(file.name for file in folder.iterdir())


if __name__ == "__main__":
    (Path(__file__).parents[1] / "deploy" / "Caddyfile").write_text(edge_text(), encoding="utf-8")
