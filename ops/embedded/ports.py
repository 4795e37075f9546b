"""Ports on loopback: the same ones each time, and a free one instead of one that somebody else took."""

import contextlib
import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

FIRST, LAST = 20000, 31999  # below the range from which the kernel gives ports to outgoing connections

PREFERRED = "preferred"
"""Under which the file keeps what was asked for when its ports were chosen."""


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


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever reads it finds all of it, or what it was before. Raises OSError."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)


class Ports:
    """The ports of one home, remembered in a file there."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self._file = file
        self._say = say
        told = json.loads(file.read_text()) if file.exists() else {}
        self._preferred: dict[str, int] = told.pop(PREFERRED, {})
        self._ports: dict[str, int] = told
        self._unwritten = False
        self._held: socket.socket | None = None

    def choose(self, name: str, preferred: int = 0) -> int:
        """The remembered port, or the preferred one, or any; a taken one moves and says so.

        What was remembered comes first, since links in letters lead there, until another port is preferred than then.
        """
        remembered = self._ports.get(name, 0)
        asks_anew = bool(preferred) and preferred != self._preferred.get(name, preferred)
        wanted = [
            port for port in ((preferred, remembered) if asks_anew else (remembered, preferred)) if port
        ]
        port = next((port for port in wanted if self._may_have(name, port)), 0)
        while not port:
            some = random.randint(FIRST, LAST)  # noqa: S311 - any free one does
            port = some if self._may_have(name, some) else 0
        if wanted and port != wanted[0]:
            self._say(f"Port {wanted[0]} for {name} is taken; {name} moves to {port}.")
        if (remembered, self._preferred.get(name, 0)) != (port, preferred):
            self._ports[name] = port
            if preferred:
                self._preferred[name] = preferred
            self._write()
        return port

    def _write(self) -> None:
        """Remember the ports; on a full disk only for as long as this house runs, which is said once."""
        try:
            write_whole(self._file, json.dumps({**self._ports, PREFERRED: self._preferred}, indent=1))
        except OSError as error:
            if not self._unwritten:
                self._say(
                    f"{self._file} cannot be written ({error.strerror}): the next start may move to other ports."
                )
            self._unwritten = True

    def hold(self, name: str) -> None:
        """Keep a chosen port for this house until it is let go; who connects before its part listens is refused.

        Caddy shares its port with whoever asks for it likewise, as we do here, so that it may listen beside us; with
        two Caddys on one port the kernel would deal visitors to both houses, and another house's probe does not ask so.
        """
        self.let_go()
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Connections of others that have just closed keep the port from us for a minute, and from nobody else.
        with contextlib.suppress(OSError):
            self._held.bind(("127.0.0.1", self._ports[name]))

    def let_go(self) -> None:
        """Give the held port back."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _may_have(self, name: str, port: int) -> bool:
        return is_free(port) and all(port != taken for other, taken in self._ports.items() if other != name)

    def of(self, name: str) -> int:
        """The port chosen before. Raises KeyError when there is none."""
        return self._ports[name]

    def known(self, name: str) -> int:
        """The port chosen before, or 0."""
        return self._ports.get(name, 0)
