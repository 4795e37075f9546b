"""Ports on loopback: the same ones each time, and a free one instead of one that somebody else took."""

import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

FIRST, LAST = 20000, 31999  # below the range from which the kernel gives ports to outgoing connections


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of the loopback address."""
    with socket.socket() as probe:
        # A connection that has just closed must not make the port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """The ports of one home, remembered in a file there."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self._file = file
        self._say = say
        self._known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    def choose(self, name: str, preferred: int = 0) -> int:
        """The remembered port, or the preferred one, or any; a taken one moves and says so."""
        wanted = self._known.get(name) or preferred
        port = wanted
        while not port or not is_free(port) or port in self._others(name):
            port = random.randint(FIRST, LAST)  # noqa: S311 - any free one does
        if wanted and port != wanted:
            self._say(f"Port {wanted} for {name} is taken; {name} moves to {port}.")
        if self._known.get(name) != port:
            self._known[name] = port
            self._file.write_text(json.dumps(self._known, indent=1))
        return port

    def _others(self, name: str) -> set[int]:
        return {port for other, port in self._known.items() if other != name}

    def of(self, name: str) -> int:
        """The port chosen before. Raises KeyError when there is none."""
        return self._known[name]
