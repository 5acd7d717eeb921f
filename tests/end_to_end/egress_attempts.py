"""What a crawler that will not use its proxy may try, run as a program: one JSON object of what came of each.

    python egress_attempts.py ADDRESS4 ADDRESS6

`arrived` is an answer from the other side, anything else the name of the error.
"""

from __future__ import annotations

import concurrent.futures
import errno
import json
import socket
import sys
from collections.abc import Callable

_PATIENCE_S = 1.0


def tcp(address: str, port: int) -> str:
    with socket.create_connection((address, port), timeout=_PATIENCE_S):
        return "arrived"


def udp(address: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_PATIENCE_S)
        sender.connect((address, port))
        sender.send(b"anything")
        sender.recv(100)
        return "arrived"


def ping(address: str) -> str:
    """An echo request from a socket that needs no rights (icmp(7), ping_group_range)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sender:
        sender.settimeout(_PATIENCE_S)
        sender.connect((address, 0))
        sender.send(b"\x08\0\0\0\0\0\0\1secret")
        sender.recv(100)
        return "arrived"


def raw(address: str) -> str:
    """A packet written by hand: what would get round every rule about protocols."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sender:
        sender.sendto(b"\0" * 20, (address, 0))
        return "arrived"


def main(site4: str, site6: str) -> dict[str, str]:
    tries: dict[str, Callable[[], str]] = {
        "http": lambda: tcp(site4, 80),
        "https": lambda: tcp(site4, 443),
        "another port": lambda: tcp(site4, 8443),
        "http over IPv6": lambda: tcp(site6, 80),
        "https over IPv6": lambda: tcp(site6, 443),
        "quic": lambda: udp(site4, 443),
        "quic over IPv6": lambda: udp(site6, 443),
        "dns": lambda: udp(site4, 53),
        "dns over IPv6": lambda: udp(site6, 53),
        "dns over TCP": lambda: tcp(site4, 53),
        "ping": lambda: ping(site4),
        "raw packet": lambda: raw(site4),
        "admin port": lambda: tcp("127.0.0.1", 8081),
        "another loopback port": lambda: tcp("127.0.0.1", 9),
        "proxy port": lambda: tcp("127.0.0.1", 8080),
    }

    def outcome(name: str) -> str:
        try:
            return tries[name]()
        except TimeoutError:
            return "no answer"
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))

    with concurrent.futures.ThreadPoolExecutor(len(tries)) as pool:
        return dict(zip(tries, pool.map(outcome, tries), strict=True))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:3])))
