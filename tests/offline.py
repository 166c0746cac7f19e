"""Runs a command where every look-up of a host name is logged and nothing else of the network can be reached.

    unshare --map-root-user --mount --net python offline.py LOG HOME MODE COMMAND...

It expects to be in a mount and a network namespace of its own. There it answers on 127.0.0.1:53, the only name server,
that no host exists, and writes each query to LOG. HOME becomes an empty file system, read-only where MODE is `ro`.
LOG gets a line `found FILE` for each file that the command left below HOME, /var/tmp or /dev/shm.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def main(log: Path, home: Path, mode: str, command: list[str]) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", _IFF_UP, b""))
    servers = log.with_name("resolv.conf")
    servers.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    _mount("--bind", str(servers), "/etc/resolv.conf")
    places = [home, Path("/var/tmp"), Path("/dev/shm")]
    for place in places:
        _mount("-t", "tmpfs", "-o", mode if place == home else "rw", "none", str(place))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=_answer, args=(server, log), daemon=True).start()
    code = subprocess.run(command, env=os.environ | {"HOME": str(home)}, check=False).returncode
    with log.open("a") as stream:
        for place in places:
            stream.writelines(f"found {file}\n" for file in sorted(place.rglob("*")) if not file.is_dir())
    return code


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _answer(server: socket.socket, log: Path) -> None:
    while True:
        query, client = server.recvfrom(4096)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode(errors="replace"))
            at += query[at] + 1
        with log.open("a") as stream:
            stream.write(f"looked up {'.'.join(labels)}\n")
        server.sendto(query[:2] + b"\x81\x83" + query[4:6] + b"\0\0\0\0\0\0" + query[12 : at + 5], client)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
