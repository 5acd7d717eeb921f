"""Two network namespaces: a pod that crawler and sidecar share, and an internet with one site; nothing leaves either.

The addresses of the site are of the networks for documentation (RFC 5737, RFC 3849), so that even a mistake in here
could not reach anybody.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import ROOT

SITE4, SITE6 = "203.0.113.10", "2001:db8::10"
POD4, POD6 = "198.51.100.2", "2001:db8:1::2"
SIDECAR_UID, CRAWLER_UID = 65532, 65534
RULES = ROOT / "deploy" / "egress" / "sidecar.nft"
# The rules for a machine without pods, and the user they name.
MACHINE_RULES = ROOT / "deploy" / "egress" / "host.nft"
MACHINE_CRAWLER_UID = 10001
TABLE = ("inet", "crawl_audit_egress")
PROGRAMS = {"ip": "iproute2", "nft": "nftables", "setpriv": "util-linux"}
# The interpreter may lie where only root can look (a home directory); reading is all that this lets the user do.
_MAY_READ = "dac_read_search"


def require() -> None:
    """Fail with a sentence where a program is missing; the platform is a reason where it has no namespaces to give."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("platform: network namespaces need Linux and root")
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    assert not missing, f"Forced egress cannot be tested: install {' '.join(missing)}."
    name = f"crawl-audit-try-{os.getpid()}"
    made = run("ip", "netns", "add", name)
    if made.returncode == 0:
        # No rules yet: whether the kernel lets this process have a table at all.
        made = run("ip", "netns", "exec", name, "nft", "add table inet crawl_audit_try")
        run("ip", "netns", "del", name)
    if "Operation not permitted" in made.stderr or "Operation not supported" in made.stderr:
        pytest.skip(f"platform: no network namespaces here ({made.stderr.strip()})")
    assert made.returncode == 0, made.stderr


def run(*command: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code."""
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


def must(*command: str) -> str:
    """Run a program that has to succeed; what it printed."""
    done = run(*command)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace by its name."""

    name: str

    def command(self, *command: str, uid: int = 0) -> tuple[str, ...]:
        """A command line that runs in here, as root or as a user who may read files and nothing else."""
        return (*self.prefix(uid), *command)

    def prefix(self, uid: int) -> tuple[str, ...]:
        """What stands before such a command line."""
        entered = ("ip", "netns", "exec", self.name)
        if uid == 0:
            return entered
        rights = (f"--inh-caps=-all,+{_MAY_READ}", f"--ambient-caps=+{_MAY_READ}", f"--bounding-set=-all,+{_MAY_READ}")
        ids = (f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs")
        return (*entered, "setpriv", *ids, *rights, "--")

    def run(self, *command: str, uid: int = 0, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a program in here to its end."""
        return run(*self.command(*command, uid=uid), seconds=seconds)

    def must(self, *command: str) -> str:
        """Run a program in here that has to succeed."""
        return must(*self.command(*command))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let the calling thread be in here: its new sockets are this namespace's (setns(2))."""
        with open("/proc/thread-self/ns/net") as outside, open(f"/run/netns/{self.name}") as inside:
            os.setns(inside.fileno(), os.CLONE_NEWNET)
            try:
                yield
            finally:
                os.setns(outside.fileno(), os.CLONE_NEWNET)

    def rules(self) -> Any:
        """The rules in force, without what they have counted."""
        listed = json.loads(self.must("nft", "--json", "list", "ruleset"))["nftables"]
        return [entry for entry in listed if "counter" not in entry]

    def counters(self) -> dict[str, int]:
        """Packets by the name of the counter of the table for forced egress."""
        listed = json.loads(self.must("nft", "--json", "list", "counters", "table", *TABLE))["nftables"]
        return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listed if "counter" in entry}


@contextmanager
def made(name: str) -> Iterator[Namespace]:
    """A new namespace with a working loopback; everything in it is ended with it."""
    must("ip", "netns", "add", name)
    namespace = Namespace(name)
    try:
        namespace.must("ip", "link", "set", "lo", "up")
        yield namespace
    finally:
        run("ip", "netns", "del", name)


@contextmanager
def pod_and_internet() -> Iterator[tuple[Namespace, Namespace]]:
    """A pod with a route to the internet, IPv4 and IPv6, and an internet that knows the way back."""
    with ExitStack() as stack:
        pod = stack.enter_context(made(f"crawl-audit-pod-{os.getpid()}"))
        internet = stack.enter_context(made(f"crawl-audit-net-{os.getpid()}"))
        pod.must("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", internet.name)
        for namespace, own4, own6 in ((pod, POD4, POD6), (internet, "198.51.100.1", "2001:db8:1::1")):
            namespace.must("ip", "address", "add", f"{own4}/24", "dev", "eth0")
            namespace.must("ip", "address", "add", f"{own6}/64", "dev", "eth0", "nodad")
            namespace.must("ip", "link", "set", "eth0", "up")
        pod.must("ip", "route", "add", "default", "via", "198.51.100.1")
        pod.must("ip", "-6", "route", "add", "default", "via", "2001:db8:1::1")
        internet.must("ip", "address", "add", f"{SITE4}/32", "dev", "lo")
        internet.must("ip", "address", "add", f"{SITE6}/128", "dev", "lo", "nodad")
        # As container engines have it: everybody may ping.
        pod.must("sh", "-c", "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range")
        yield pod, internet


@contextmanager
def serving(internet: Namespace, script: Path, arguments: Sequence[str], arrivals: Path) -> Iterator[None]:
    """The site's processes, ready; ``arrivals`` gets one JSON line of everything that reaches it."""
    process = subprocess.Popen(internet.command(sys.executable, str(script), str(arrivals), *arguments))
    try:
        deadline = time.monotonic() + 20
        while not arrivals.exists():
            assert process.poll() is None, "the site ended"
            assert time.monotonic() < deadline, "the site did not get ready"
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


def wait_until_reached(pod: Namespace) -> None:
    """Return when the site is reached over IPv6 too: neighbours are found a moment after the link is up."""
    deadline = time.monotonic() + 10
    with pod.entered():
        for address in (SITE4, SITE6):
            while not _reached(address):
                assert time.monotonic() < deadline, f"the pod has no way to {address}"


def _reached(address: str) -> bool:
    try:
        with socket.create_connection((address, 80), timeout=0.5):
            return True
    except OSError:
        return False
