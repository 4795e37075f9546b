"""Whether the parts that run still answer: what is frozen or stuck does not end by itself."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ops.embedded.process import Child
from ops.embedded.stack import Stack

LOOK_S = 5.0
"""How often the parts are looked at."""

ANSWER_S = 2.0
"""How long a part may take for an answer that costs it nothing."""

LOOKS = 3
"""So many looks in a row may a part leave without an answer: it is frozen for 15 seconds or more."""

LOOKS_AT_WORK = 24
"""So many one that starts, or works without pause: it may be at something long, and two minutes are not for ever."""

LOOKS_OF_POSTGRES = 12
"""PostgreSQL has a minute: its end breaks off what all others do and costs a recovery that is the longer the slower the
disk is, so that one that is merely slow must not look frozen."""

AT_WORK_S = 0.5
"""Processor time that tells work from rest between two looks."""

ROOM = 64 * 2**20
"""Bytes that must be free again before NATS is started anew: on a full disk it would freeze again."""

ASKED = {
    # Whether it speaks TLS: each new session is answered so by a process of its own, before any password.
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "redis": b"PING\r\n",
    # All of it: with `js-enabled-only` a stream that takes nothing any more looks well.
    "nats": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    # No host of this house, so that Caddy answers by itself.
    "caddy": b"GET / HTTP/1.1\r\nHost: nobody.invalid\r\nConnection: close\r\n\r\n",
}
LIVE = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
WELL = b"HTTP/1.1 200"


@dataclass
class Pulse:
    """What is known of one process: how many looks it has left unanswered, and how many times it said it is unwell."""

    child: Child
    patience: int = LOOKS_AT_WORK
    silent: int = 0
    unwell: int = 0
    worked_s: float = 0.0


@dataclass(frozen=True)
class Trouble:
    """A part that must be ended to be started anew; `frozen` where it does not even hear that it is to stop."""

    name: str
    why: str
    frozen: bool


class Watch:
    """Looks at the parts of one house. One look takes as long as the slowest answer, and two seconds at the most."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.pulses: dict[str, Pulse] = {}

    def look(self) -> list[Trouble]:
        """Ask every part that runs whether it is there; returns those that must be ended."""
        running = {name: child for name, child in self.stack.children.items() if child.alive()}
        self.pulses = {name: self._pulse(name, child) for name, child in running.items()}
        answers = asyncio.run(self._ask(list(running)))
        return [trouble for name in running for trouble in self._judged(name, answers[name])]

    @property
    def nats_is_well(self) -> bool:
        """Whether NATS said at the last look that it serves."""
        pulse = self.pulses.get("nats")
        return pulse is not None and not pulse.silent and not pulse.unwell

    def _pulse(self, name: str, child: Child) -> Pulse:
        known = self.pulses.get(name)
        return known if known and known.child is child else Pulse(child)

    async def _ask(self, names: list[str]) -> dict[str, bytes]:
        return dict(zip(names, await asyncio.gather(*map(self._answer, names)), strict=True))

    async def _answer(self, name: str) -> bytes:
        """The beginning of what a part answers; nothing where it does not."""
        port = self.stack.ports.of("nats_monitor") if name == "nats" else self.pulses[name].child.part.port
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(ASKED.get(name, LIVE))
                    return await reader.read(len(WELL))
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""

    def _judged(self, name: str, answer: bytes) -> Iterator[Trouble]:
        pulse = self.pulses[name]
        if answer:
            pulse.silent = 0
            yield from self._unwell(name, pulse, well=name != "nats" or answer == WELL)
            return
        pulse.silent += 1
        worked, pulse.worked_s = pulse.worked_s, _worked_s(pulse.child.pid)
        at_work = pulse.silent > 1 and pulse.worked_s - worked > AT_WORK_S
        if pulse.silent >= (LOOKS_AT_WORK if at_work else pulse.patience):
            yield Trouble(name, f"has not answered for {pulse.silent * LOOK_S:.0f} s", frozen=True)

    def _unwell(self, name: str, pulse: Pulse, *, well: bool) -> Iterator[Trouble]:
        """JetStream that met a full disk stays frozen when there is room again, until NATS starts anew."""
        if well:
            pulse.unwell, pulse.patience = 0, LOOKS_OF_POSTGRES if name == "postgres" else LOOKS
            return
        pulse.unwell += 1
        if pulse.unwell >= pulse.patience and shutil.disk_usage(self.stack.home).free >= ROOM:
            yield Trouble(name, "serves no stream any more although the disk has room", frozen=False)


def _worked_s(pid: int) -> float:
    """How much processor time a process has had."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
