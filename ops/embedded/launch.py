"""Start one program so that it ends with its parent and, where it refuses root (PostgreSQL), without root's rights.

Run as a script, before anything of ours is imported: `python -IS launch.py PARENT SIGNAL USER MODE program …`.
A script rather than a `preexec_fn`, which may hang when the parent has threads.

MODE says how root is given up:
`keep`       not at all;
`drop`       become USER;
`drop+reach` become USER but keep the right to pass folders that only root may enter (a clone below /root);
`map`        become USER in a user namespace of our own, for containers in which only root exists.
"""

import ctypes
import os
import pwd
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000


def _call(done: int, what: str) -> None:
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _drop(libc: ctypes.CDLL, user: str, *, reach: bool) -> None:
    entry = pwd.getpwnam(user)
    if reach:
        _call(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keep capabilities")
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    if reach:
        bit = 1 << CAP_DAC_OVERRIDE
        header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
        sets = struct.pack("=6I", bit, bit, bit, 0, 0, 0)
        _call(libc.capset(header, sets), "keep one capability")
        _call(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "hand it on")


def _map(libc: ctypes.CDLL, user: str) -> None:
    entry = pwd.getpwnam(user)
    uid, gid = os.geteuid(), os.getegid()
    _call(libc.unshare(CLONE_NEWUSER), "user namespace")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{entry.pw_uid} {uid} 1"),
        ("gid_map", f"{entry.pw_gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - quick to import
            file.write(text)


def main(parent: int, signal: int, user: str, mode: str, *program: str) -> None:
    """Give up what MODE says, ask to be told of the parent's end, and become the program."""
    os.umask(0o077)  # what a store writes is for nobody else to read
    libc = ctypes.CDLL(None, use_errno=True)
    if mode == "map":
        _map(libc, user)
    elif mode != "keep":
        _drop(libc, user, reach=mode == "drop+reach")
    if sys.platform == "linux":
        # Only now: a change of user forgets it.
        _call(libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "watch the parent")
        if os.getppid() != parent:
            raise SystemExit("The parent has already ended.")
    os.execv(program[0], program)  # noqa: S606 - the whole point


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
