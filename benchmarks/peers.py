"""Other recording proxies, started beside ours on the same load; one that is not there is named with what to install.

Each is set up as its documents say for a proxy that records what passes: TLS intercepted by an authority of its own,
every request written down, sites' certificates not verified (which only spares them work).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

_HERE = Path(__file__).resolve().parent
_START_S = 30.0
_CERTGEN = Path("/usr/lib/squid/security_file_certgen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A proxy that listens."""

    name: str
    process: subprocess.Popen[str]
    address: tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A proxy that cannot be compared on this machine, and why."""

    name: str
    why: str


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(
    name: str, command: Sequence[str | Path], port: int, *, at: Path, environment: Mapping[str, str] | None = None
) -> Started:
    """Start a proxy and wait until it listens; its output goes to a file, SystemExit says what is in it where it ends
    or does not listen within half a minute."""
    at.mkdir(exist_ok=True)
    output = at / f"{port}.out"
    with output.open("w") as stream:
        process = subprocess.Popen(
            command, text=True, cwd=at, stdout=stream, stderr=stream, env={**os.environ, **(environment or {})}
        )
    until = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return Started(name=name, process=process, address=("127.0.0.1", port))
        asyncio.run(asyncio.sleep(0.05))
    process.kill()
    raise SystemExit(f"{name} did not start: {output.read_text()[-500:]}")


def mitmdump(place: Path, *, name: str = "mitmdump (plain)", script: Path | None = None) -> Started:
    """mitmproxy's own command without a display of flows, or with one addon."""
    port = free_port()
    at = place / name.replace(" ", "-")
    command: list[str | Path] = [Path(sys.executable).with_name("mitmdump"), "-q", "--listen-host", "127.0.0.1"]
    command += ["-p", str(port), "--set", "ssl_insecure=true", "--set", "flow_detail=0", "--set", f"confdir={at}"]
    command += ["-s", script] if script is not None else []
    return started(name, command, port, at=at)


def mitmdump_jsonl(place: Path) -> Started:
    """mitmdump with the addon that people write themselves: a line of JSON for every answer, never synced."""
    return mitmdump(place, name="mitmdump + JSONL addon", script=_HERE / "jsonl_addon.py")


def warcprox(place: Path) -> Started | Missing:
    """warcprox, which writes whole exchanges as WARC; from an environment named by WARCPROX or from the path."""
    program = os.environ.get("WARCPROX") or shutil.which("warcprox")
    if program is None:
        return Missing(name="warcprox", why="`pip install warcprox` into an environment; WARCPROX names the program")
    port, at = free_port(), place / "warcprox"
    command = [program, "-b", "127.0.0.1", "-p", str(port), "-q", "-d", at / "warcs", "-c", at / "ca.pem"]
    command += ["--certs-dir", at / "certificates", "--dedup-db-file", "/dev/null", "--stats-db-file", "/dev/null"]
    return started("warcprox", command, port, at=at)


def squid(place: Path) -> Started | Missing:
    """squid with ssl-bump and an access log: the proxy in C++ that Python is held against."""
    if shutil.which("squid") is None or not _CERTGEN.exists():
        return Missing(name="squid (ssl-bump)", why="`apt-get install squid-openssl`")
    port, at = free_port(), place / "squid"
    at.mkdir()
    authority = trustme.CA()
    (at / "ca.pem").write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    certificates = at / "certificates"
    subprocess.run([_CERTGEN, "-c", "-s", certificates, "-M", "16MB"], check=True, stdout=subprocess.DEVNULL)
    configuration = at / "squid.conf"
    configuration.write_text(
        f"http_port 127.0.0.1:{port} ssl-bump cert={at}/ca.pem generate-host-certificates=on"
        " dynamic_cert_mem_cache_size=16MB\n"
        f"sslcrtd_program {_CERTGEN} -s {certificates} -M 16MB\n"
        "ssl_bump bump all\ntls_outgoing_options flags=DONT_VERIFY_PEER\nhttp_access allow all\ncache deny all\n"
        f"access_log stdio:{at}/access.log\ncache_log {at}/cache.log\npid_filename none\nshutdown_lifetime 1 seconds\n"
        "max_filedescriptors 4096\n"
    )
    # Started by root, squid goes on as `proxy`.
    for path in (place, at, *at.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return started("squid (ssl-bump)", ["squid", "-N", "-f", configuration], port, at=at)


def mockttp(place: Path) -> Started | Missing:
    """mockttp, the intercepting proxy of Node; from a directory named by MOCKTTP that has it in node_modules/."""
    root = os.environ.get("MOCKTTP")
    if root is None or shutil.which("node") is None:
        return Missing(
            name="mockttp", why="`npm install mockttp` in a directory; MOCKTTP names the directory, and node is needed"
        )
    port, at = free_port(), place / "mockttp"
    command = ["node", _HERE / "mockttp_proxy.js", str(port)]
    return started("mockttp", command, port, at=at, environment={"NODE_PATH": str(Path(root) / "node_modules")})


PEERS: tuple[Callable[[Path], Started | Missing], ...] = (mitmdump_jsonl, warcprox, squid, mockttp)
"""Everything but plain mitmdump, which all are compared with."""
